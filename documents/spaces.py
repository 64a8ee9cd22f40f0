"""Which embedding space serves, and the model that makes its vectors."""

from typing import Literal, cast

from django.conf import settings
from django.db import IntegrityError, transaction

from documents.models import EmbeddingSpace
from ragsite.lib.embeddings import EmbeddingModel
from ragsite.lib.local_model import Precision


def active() -> EmbeddingSpace:
    """The space that serves. The first time, the one that the settings describe."""
    space = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE).first()
    return space or _first()


def live() -> list[EmbeddingSpace]:
    """The spaces that every chunk has to have a vector in: the one that serves, and those that are being built."""
    building = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.BUILDING)
    return [active(), *building.order_by("pk")]


def _first() -> EmbeddingSpace:
    try:
        with transaction.atomic():
            return EmbeddingSpace.objects.create(
                provider=settings.EMBEDDING_PROVIDER,
                model=settings.EMBEDDING_MODEL,
                precision=settings.EMBEDDING_PRECISION if settings.EMBEDDING_PROVIDER == "local" else "",
                dimensions=settings.EMBEDDING_DIMENSIONS,
                state=EmbeddingSpace.State.ACTIVE,
            )
    except IntegrityError:  # another process was first
        return EmbeddingSpace.objects.get(state=EmbeddingSpace.State.ACTIVE)


def model(space: EmbeddingSpace) -> EmbeddingModel:
    """The row says what the vectors are, the settings where the model is reached."""
    return EmbeddingModel(
        provider=cast("Literal['local', 'openai']", space.provider),
        model=space.model,
        precision=Precision(space.precision or Precision.INT8),
        dimensions=space.dimensions,
        directory=settings.DATA_DIR / "models",
        threads=settings.EMBEDDING_THREADS,
        base_url=settings.EMBEDDING_BASE_URL,
        api_key=settings.EMBEDDING_API_KEY,
        requests_per_minute=settings.EMBEDDING_REQUESTS_PER_MINUTE,
        tokens_per_minute=settings.EMBEDDING_TOKENS_PER_MINUTE,
    )
