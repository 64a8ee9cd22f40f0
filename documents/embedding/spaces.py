"""Which embedding spaces there are, which one serves, and the model that makes a space's vectors.

Nothing here is remembered by a process: a search asks which space serves, and is held to that one to its end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from documents.models import EmbeddingSpace
from ragsite.lib.errors import AppError
from ragsite.lib.inference import endpoint_keys, local_model
from ragsite.lib.inference.embeddings import EmbeddingModel

PAUSE = timedelta(seconds=30)  # before the model of a space that is being built is tried again
LONGEST_PATIENCE = 10  # seconds; a model that needs more makes its building pause
PATIENCE_MS = 5_000  # of whoever would change the states: loads that come later wait behind it
_LOCK = 0x7261_6773  # "rags": the advisory lock of whoever needs the states of the spaces to stay, or changes them

State = EmbeddingSpace.State

logger = structlog.get_logger(__name__)


class Uncovered(Exception):
    """Chunks lack vectors in a live space: it began, or began to serve, after they were embedded."""


def active() -> EmbeddingSpace:
    """The space that serves. The first time, the one that the settings describe."""
    return EmbeddingSpace.objects.filter(state=State.ACTIVE).first() or _first()


def building() -> EmbeddingSpace | None:
    """The space that is being built; there is never more than one."""
    return EmbeddingSpace.objects.filter(state=State.BUILDING).first()


def live() -> list[EmbeddingSpace]:
    """The spaces that a new document enters: the one that serves, then the one that is being built.

    Not one whose building pauses: its model's failures must not keep documents from being ready. It catches up.
    """
    spaces = EmbeddingSpace.objects.filter(Q(state=State.ACTIVE) | Q(state=State.BUILDING, problem=""))
    return sorted(spaces, key=lambda space: space.state) or [_first()]


def hold() -> list[EmbeddingSpace]:
    """`live`, whose states then stay as they are until the caller's transaction ends.

    By an advisory lock and not by locks of the rows: a row that does not exist yet cannot be locked, and one that
    counts its progress would make every load wait.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = 0")  # a switch looks through every chunk meanwhile
    _lock(exclusive=False)
    return live()


def hold_alone() -> None:
    """For whoever changes the states: nobody holds them, or takes hold of them, until the transaction ends.

    Raises OperationalError when they are held for longer than `PATIENCE_MS`.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE_MS}ms'")
    _lock(exclusive=True)


def _lock(*, exclusive: bool) -> None:
    function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [_LOCK])


def patience(space: EmbeddingSpace) -> float:
    """Seconds to wait for its model where that limits us or is down: not long where documents can do without."""
    wanted = settings.EMBEDDING_PATIENCE_SECONDS
    return float(wanted if space.state == State.ACTIVE else min(wanted, LONGEST_PATIENCE))


@contextmanager
def excused(space: EmbeddingSpace) -> Iterator[None]:
    """Lets a new document go without vectors in a space that is being built, if that space's model fails in the block.

    The space then pauses. A failure of the model that serves is raised as ever.
    """
    try:
        yield
    except AppError as error:
        if space.state == State.ACTIVE:
            raise
        pause(space, error.detail)


def pause(space: EmbeddingSpace, problem: str) -> None:
    """Leaves a space that is being built alone for `PAUSE`: chunks may lack their vectors in it from here on."""
    logger.warning("an embedding space cannot be built on for now", space=str(space), problem=problem)
    EmbeddingSpace.objects.filter(pk=space.pk, state=State.BUILDING).update(
        problem=problem, is_complete=False, leased_until=Now() + PAUSE
    )


def _first() -> EmbeddingSpace:
    try:
        with transaction.atomic():
            return EmbeddingSpace.objects.create(**described(), state=State.ACTIVE, is_complete=True)
    except IntegrityError:  # another process was first
        return EmbeddingSpace.objects.get(state=State.ACTIVE)


# How a space's model is reached -------------------------------------------------------------------------------


def described() -> dict[str, str | int]:
    """The space that the settings describe, as a row's fields. The local model's precision means nothing elsewhere."""
    is_local = settings.EMBEDDING_PROVIDER == "local"
    return {
        "provider": settings.EMBEDDING_PROVIDER,
        "model": settings.EMBEDDING_MODEL,
        "precision": settings.EMBEDDING_PRECISION if is_local else "",
        "dimensions": settings.EMBEDDING_DIMENSIONS,
    }


def model(space: EmbeddingSpace) -> EmbeddingModel:
    """The row says what the vectors are, and which endpoint makes them if not that of the settings.

    The settings give what no row may hold, or what is this machine's business: keys, folders, threads.
    """
    if space.provider == "local":
        return EmbeddingModel(
            provider="local",
            model=space.model,
            precision=local_model.Precision(space.precision or local_model.Precision.INT8),
            dimensions=space.dimensions,
            directory=settings.DATA_DIR / "models",
            threads=settings.EMBEDDING_THREADS,
        )
    base_url = space.base_url or settings.EMBEDDING_BASE_URL
    return EmbeddingModel(
        provider="openai",
        model=space.model,
        precision=space.precision,
        dimensions=space.dimensions,
        base_url=base_url,
        api_key=endpoint_keys.key_for(base_url, of="EMBEDDING"),
        requests_per_minute=settings.EMBEDDING_REQUESTS_PER_MINUTE,
        tokens_per_minute=settings.EMBEDDING_TOKENS_PER_MINUTE,
    )


class Mismatch(NamedTuple):
    """What differs between the settings and the space that serves, and what to do."""

    what: str
    remedy: str


def mismatch(space: EmbeddingSpace) -> Mismatch | None:
    """Whether the settings describe another space than this one, which serves all the same."""
    wanted = described()
    if all(getattr(space, name) == value for name, value in wanted.items()):
        return None
    dimensions = f" --dimensions {wanted['dimensions']}" if wanted["provider"] == "openai" else ""
    precision = f" --precision {wanted['precision']}" if wanted["precision"] else ""
    names = [name for name in wanted if getattr(space, name)]
    back = " ".join(f"EMBEDDING_{name.upper()}={getattr(space, name)}" for name in names)
    return Mismatch(
        f"The EMBEDDING_ settings describe {EmbeddingSpace(**wanted)}; the vectors that serve are of {space}, which"
        " the site goes on with.",
        f"Change to it: manage.py reembed --to {wanted['provider']}:{wanted['model']}{dimensions}{precision}."
        f" Or set what serves: {back}.",
    )
