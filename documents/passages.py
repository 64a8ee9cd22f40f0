"""What a document is stored and searched as: its passages, the texts they are embedded as, their terms and weights."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import SparseVector

from documents import chunking
from documents.chunking import Piece
from documents.models import Chunk, Document, EmbeddingSpace
from documents.searching import lexical


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document: its text, what is indexed and embedded for it, and the ids of that one's terms."""

    piece: Piece
    text: str
    context: str
    terms: Sequence[int]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claimed document and what is to be stored for it.

    `pages` is None where the format has none; `vectors` has, for each live space, (passages, its dimensions).
    """

    document: Document
    text: str
    pages: int | None
    title: str
    passages: Sequence[Passage]
    vectors: Mapping[EmbeddingSpace, NDArray[np.float32]]


def analyse(tenant_id: UUID, text: str, pieces: Iterable[Piece], *, title: str) -> list[Passage]:
    passages = []
    for piece in pieces:
        span = text[piece.start : piece.end]
        context = chunking.in_context(span, title=title, heading=piece.heading)
        passages.append(Passage(piece, span, context, term_ids(tenant_id, context)))
    return passages


def context(chunk: Chunk) -> str:
    """What a stored chunk is indexed and embedded as."""
    return chunking.in_context(chunk.text, title=chunk.document.title, heading=chunk.heading)


def term_ids(tenant_id: UUID, text: str) -> list[int]:
    return [lexical.term_id(tenant_id, term) for term in lexical.terms(text)]


def weights(terms: Sequence[int], average: float) -> SparseVector:
    """A chunk's BM25 weights by term, in a corpus whose chunks have so many terms on average."""
    weights = lexical.document_weights(Counter(terms), length=len(terms), average_length=average)
    # A sparsevec counts its dimensions from 1, pgvector's Python class from 0.
    return SparseVector({term - 1: weight for term, weight in weights.items()}, lexical.MAX_DIMENSIONS)
