"""Vectors of stored chunks by a model that may be slow, or refuse a text that the model before it took."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from documents.embedding import spaces
from documents.models import EmbeddingSpace
from ragsite.lib.errors import AppError, ModelFailed, ModelTimeout
from ragsite.lib.inference import embeddings
from ragsite.lib.inference.embeddings import EmbeddingModel, Vectors

_SHORTEST: Final = 16  # a refused chunk is tried by its half, its quarter, and so on to this part of it

logger = structlog.get_logger(__name__)


class Stored(NamedTuple):
    """A chunk without a vector in a space. `text` is what it is embedded as."""

    id: UUID
    tenant_id: UUID
    document_id: UUID
    ordinal: int
    text: str


class TooMuch(Exception):
    """So many texts at once take the model too long, or there is one among them that it refuses."""


def embed(space: EmbeddingSpace, chunks: Sequence[Stored]) -> Vectors:
    """The vectors of at least one chunk. Raises TooMuch where fewer might do.

    Waits its turn within the endpoint's limits, as no question has to. Raises too what `embeddings.embed` raises,
    where the model answers nothing else either, or refuses a chunk by itself.
    """
    model = spaces.model(space)
    try:
        # Past the cache: a whole corpus in it would push out everything else, and none of it is asked for again.
        return embeddings.embed(
            model, [chunk.text for chunk in chunks], patience_seconds=spaces.patience(space)
        )
    except (ModelFailed, ModelTimeout) as error:
        embeddings.dimensions(model)  # raises where it is the model, and not these texts
        if len(chunks) > 1:
            raise TooMuch from error
        # A machine that is busy may be quicker later, and the chunk would have lost its second half.
        if isinstance(error, ModelTimeout):
            raise _about(chunks[0], error) from error
        return _of_its_beginning(model, chunks[0], error)


def _of_its_beginning(model: EmbeddingModel, chunk: Stored, refusal: ModelFailed) -> Vectors:
    """The vector of as much of a refused chunk as the model takes.

    What a model refuses by itself is nearly always longer than it can read, which others cut in silence. One such
    chunk must not keep a site from changing its model; its title, heading and first sentences are still found, and
    its words are by BM25.
    """
    part = 2
    while part <= _SHORTEST and len(chunk.text) >= part:
        try:
            vectors = embeddings.embed(model, [chunk.text[: len(chunk.text) // part]])
        except ModelFailed:
            part *= 2
            continue
        place = {"document": str(chunk.document_id), "ordinal": chunk.ordinal}
        logger.warning("a chunk was refused, and embedded by its beginning", part=f"1/{part}", **place)
        return vectors
    raise _about(chunk, refusal) from refusal


def _about(chunk: Stored, error: AppError) -> AppError:
    place = f"chunk {chunk.ordinal} of the document {chunk.document_id}"
    return type(error)(f"{error.detail} This is {place}; other texts are answered.")
