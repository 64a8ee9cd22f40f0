"""A chunk that was found, as everything behind the search knows it."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Hit:
    """Pages count from 1; `start` and `end` are characters of the document's text.

    `score` is the fused one, 0 to 1; `rerank` a reranker's, on a scale of its own.
    """

    chunk_id: UUID
    document_id: UUID
    title: str
    collection: str
    heading: str
    first_page: int | None
    last_page: int | None
    start: int
    end: int
    text: str
    cosine: float
    bm25: float
    score: float = 0.0
    rerank: float | None = None
