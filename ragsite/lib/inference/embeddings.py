"""Texts to vectors of unit length: by the local model, or by any OpenAI-compatible endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragsite.lib import tokens
from ragsite.lib.concurrency.per_process import PerProcess
from ragsite.lib.errors import ModelRefused, Unavailable
from ragsite.lib.inference import local_model

Vectors = NDArray[np.float32]  # (n, dimensions), each row of length 1
SAMPLE = "How many dimensions has this?"  # embedded to see whether a model answers, and with how many


@dataclass(frozen=True, kw_only=True)
class EmbeddingModel:
    """What makes the vectors of one space. `directory` and `threads` serve `local`; what follows them, `openai`.

    `dimensions` 0: as many as an endpoint's model has.
    """

    provider: Literal["local", "openai"]
    model: str
    precision: str  # `local` alone has a choice: fp32 or int8
    dimensions: int
    directory: Path = Path()
    threads: int = 1
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    timeout_seconds: float = 30.0
    requests_per_minute: int = 0  # 0: as many as it takes
    tokens_per_minute: int = 0


def embed(model: EmbeddingModel, texts: Sequence[str], *, patience_seconds: float = 0.0) -> Vectors:
    """The vectors of `texts`, in their order. Raises what `vendor.call` raises, for each request to an endpoint.

    `patience_seconds`: how long a request may wait for an endpoint that limits us or is down. 0 for a question, whose
    asker waits; minutes for an ingestion, which nobody gains from giving up. The local model needs none.
    """
    if not texts:
        return np.empty((0, model.dimensions), dtype=np.float32)
    if model.provider == "local":
        if model.dimensions != local_model.DIMENSIONS:
            raise ModelRefused(mismatch(local_model.DIMENSIONS, model.dimensions))
        return _local_models.get(model).embed(texts)
    # Its client takes most of a second to load, which every command would pay that embeds nothing, or locally.
    from ragsite.lib.inference import embedding_endpoint  # noqa: PLC0415  see above

    return embedding_endpoint.embed(model, texts, patience_seconds=patience_seconds)


def dimensions(model: EmbeddingModel) -> int:
    """How many a vector of the model has, which is asked for one. Raises as `embed` does."""
    return len(embed(model, [SAMPLE])[0])


def count_tokens(model: EmbeddingModel, texts: Sequence[str]) -> int:
    """How many tokens the texts have: counted for the local model, estimated (`tokens.about`) for an endpoint's."""
    if model.provider == "local":
        return _local_models.get(model).tokens(texts)
    return sum(map(tokens.about, texts))


def mismatch(found: int, configured: int) -> str:
    """What is said of vectors that have another size than the space they are for."""
    return f"The embedding model's vectors have {found} dimensions, not the {configured} configured."


def warm(model: EmbeddingModel) -> None:
    """Load the local model into this process, so that its first question does not wait for it."""
    if model.provider == "local":
        embed(model, ["warm"])


def _load(model: EmbeddingModel) -> local_model.LocalModel:
    precision = local_model.Precision(model.precision)
    try:
        return local_model.LocalModel(model.directory, precision=precision, threads=model.threads)
    except local_model.ModelUnavailable as error:
        raise Unavailable(str(error)) from error


_local_models = PerProcess(_load)
