"""Texts to vectors of unit length: by the local model, or by any OpenAI-compatible endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragsite.lib import local_model
from ragsite.lib.errors import ModelFailed, Unavailable
from ragsite.lib.per_process import PerProcess

Vectors = NDArray[np.float32]  # (n, dimensions), each row of length 1


@dataclass(frozen=True, kw_only=True)
class EmbeddingModel:
    """What makes the vectors of one space. `directory` and `threads` serve `local`; what follows them, `openai`."""

    provider: Literal["local", "openai"]
    model: str
    precision: str  # `local` alone has a choice: fp32 or int8
    dimensions: int
    directory: Path = Path()
    threads: int = 1
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    timeout_seconds: float = 30.0


def embed(model: EmbeddingModel, texts: Sequence[str]) -> Vectors:
    """The vectors of `texts`, in their order. Raises what `vendor.call` raises, for each request to an endpoint."""
    if not texts:
        return np.empty((0, model.dimensions), dtype=np.float32)
    if model.provider == "local":
        if model.dimensions != local_model.DIMENSIONS:
            raise ModelFailed(mismatch(local_model.DIMENSIONS, model.dimensions))
        return _local_models.get(model).embed(texts)
    # Its client takes most of a second to load, which every command would pay that embeds nothing, or locally.
    from ragsite.lib import embedding_endpoint  # noqa: PLC0415  see above

    return embedding_endpoint.embed(model, texts)


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
