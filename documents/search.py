"""Hybrid search: dense vectors and BM25, each exact over a small corpus and by index over a large one.

Both legs find candidates in one statement, which also gives each candidate both scores; `documents.fusion` ranks
them. Filters hold inside the legs, so that they never cost results.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from time import perf_counter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from pgvector import HalfVector, SparseVector

from documents import fusion, lexical, spaces
from documents.fusion import Candidate
from documents.models import CorpusStatistics, Document, EmbeddingSpace, Term
from ragsite.lib import row_security
from ragsite.lib.embedding_cache import embed_cached

DEPTH = 100  # candidates of each leg
EF_SEARCH = 200
# In a large corpus BM25 looks at the chunks of the question's rarest terms, up to about this many rows.
ROW_BUDGET = 20_000


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be found. None: not restricted; an empty tuple: nothing."""

    tenant_id: UUID
    collection_ids: tuple[UUID, ...] | None = None
    document_ids: tuple[UUID, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found. Pages count from 1; `start` and `end` are characters of the document's text."""

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


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, best first; the IDF in this corpus of each of the question's terms that it has; milliseconds by step."""

    hits: Sequence[Hit]
    idf: Mapping[str, float]
    timings_ms: Mapping[str, float]


def hybrid(scope: Scope, question: str, *, top_k: int) -> Found:
    """The `top_k` chunks that best answer the question; fewer only where fewer exist."""
    found = candidates(scope, question)
    return replace(found, hits=found.hits[:top_k])


def candidates(scope: Scope, question: str) -> Found:
    """Everything that either leg found, ranked by both."""
    started = perf_counter()
    space = spaces.active()
    model = spaces.model(space)
    vector = embed_cached(model, [question], space=space.pk)[0]
    embedded = perf_counter()
    with row_security.within(scope.tenant_id):
        terms = _terms(scope.tenant_id, question)
        rows = _retrieve(scope, space, HalfVector(vector), terms)
    ranked = fusion.rank(
        [Candidate(row["chunk_id"], row["cosine"], row["bm25"]) for row in rows],
        ceiling=sum(term.idf for term in terms),
    )
    by_id = {row["chunk_id"]: row for row in rows}
    hits = [Hit(**by_id[entry.chunk_id], score=round(entry.score, 4)) for entry in ranked]
    done = perf_counter()
    timings = {"embed": _ms(embedded - started), "search": _ms(done - embedded)}
    return Found(hits, {term.word: term.idf for term in terms}, timings)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of the question that the tenant's corpus has, in so many of its chunks."""

    word: str
    id: int
    chunks: int
    idf: float


def _terms(tenant_id: UUID, question: str) -> list[_Term]:
    """The question's distinct terms that the corpus knows, rarest first."""
    statistics = CorpusStatistics.objects.for_tenant(tenant_id).first()
    if statistics is None:
        return []
    words = {lexical.term_id(tenant_id, word): word for word in lexical.terms(question)}
    known = Term.objects.for_tenant(tenant_id).filter(term__in=words).order_by("chunks", "term")
    return [
        _Term(words[row.term], row.term, row.chunks, lexical.idf(statistics.chunks, row.chunks))
        for row in known
    ]


def _retrieve(
    scope: Scope, space: EmbeddingSpace, vector: HalfVector, terms: Sequence[_Term]
) -> list[dict[str, Any]]:
    size = _size(scope)
    if not size:
        return []
    exact = size <= settings.EXACT_SEARCH_MAX_CHUNKS
    near, rows = _run(scope, space, vector, terms, exact=exact)
    if not exact and near < min(DEPTH, size):
        # The index gave up before it had enough: the filter leaves little near the question.
        rows = _run(scope, space, vector, terms, exact=True)[1]
    return rows


def _size(scope: Scope) -> int:
    """How many chunks the scope holds."""
    documents = Document.objects.for_tenant(scope.tenant_id)
    if scope.collection_ids is not None:
        documents = documents.filter(collection_id__in=scope.collection_ids)
    if scope.document_ids is not None:
        documents = documents.filter(pk__in=scope.document_ids)
    if scope.metadata:
        documents = documents.filter(metadata__contains=dict(scope.metadata))
    return int(documents.aggregate(size=Sum("chunks"))["size"] or 0)


# The statement -----------------------------------------------------------------------------------------------

_STATEMENT = """
WITH dense AS MATERIALIZED (
    SELECT vector.chunk_id AS id
    FROM documents_chunkvector AS vector {vector_scope}
    WHERE vector.tenant_id = %(tenant)s AND vector.space_id = %(space)s
    ORDER BY {distance} LIMIT %(depth)s
), lexical AS MATERIALIZED (
    {lexical}
), candidate AS (
    SELECT id FROM dense UNION SELECT id FROM lexical
)
SELECT chunk.id AS chunk_id, chunk.document_id, document.title, collection.name AS collection, chunk.heading,
       chunk.first_page, chunk.last_page, chunk.start, chunk."end", chunk.text,
       1 - (vector.vector <=> %(vector)s::halfvec) AS cosine,
       -(chunk.weights <#> %(question)s::sparsevec) AS bm25, (SELECT count(*) FROM dense) AS near
FROM candidate
JOIN documents_chunk AS chunk ON chunk.id = candidate.id AND chunk.tenant_id = %(tenant)s
JOIN documents_chunkvector AS vector ON vector.chunk_id = chunk.id AND vector.space_id = %(space)s
JOIN documents_document AS document ON document.id = chunk.document_id
JOIN documents_collection AS collection ON collection.id = document.collection_id
"""
_LEXICAL_SCAN = """
    SELECT chunk.id
    FROM documents_chunk AS chunk {scope}
    WHERE chunk.tenant_id = %(tenant)s AND chunk.terms && %(rare)s::int[]
    ORDER BY chunk.weights <#> %(question)s::sparsevec LIMIT %(depth)s
"""
# By the index on terms, which row-level security keeps from a plain statement; a migration makes the function and
# says why. It takes the tenant from what Postgres was told of this statement. A new filter of `Scope` is a new
# version of it too.
_LEXICAL_INDEX = """
    SELECT id FROM documents_best_chunks(%(rare)s::int[], %(question)s::sparsevec, %(depth)s,
        %(collections)s::uuid[], %(documents)s::uuid[], %(metadata)s::jsonb)
"""
_VECTOR_SCOPE = "JOIN documents_chunk AS chunk ON chunk.id = vector.chunk_id "
_CHUNK_SCOPE = "JOIN documents_document AS document ON document.id = chunk.document_id"


def _run(
    scope: Scope, space: EmbeddingSpace, vector: HalfVector, terms: Sequence[_Term], *, exact: bool
) -> tuple[int, list[dict[str, Any]]]:
    """How many the dense leg found, and both legs' candidates.

    One statement. Only fixed words are put into its text; whatever a caller sent is a parameter.
    """
    conditions = _conditions(scope)
    joined = f"{_CHUNK_SCOPE}{conditions}" if conditions else ""
    # The index is on the expression with dimensions: without them a search cannot but be exact.
    cast = "" if exact else f"({space.dimensions})"
    statement = _STATEMENT.format(
        vector_scope=f"{_VECTOR_SCOPE}{joined}" if joined else "",
        lexical=_LEXICAL_SCAN.format(scope=joined) if exact else _LEXICAL_INDEX,
        distance=f"vector.vector{'::halfvec' + cast if cast else ''} <=> %(vector)s::halfvec{cast}",
    )
    parameters: dict[str, Any] = {
        "tenant": scope.tenant_id,
        "space": space.pk,
        "depth": DEPTH,
        "vector": vector.to_text(),
        "question": _sparse(terms),
        "rare": [term.id for term in (terms if exact else _rarest(terms))],
        "collections": _listed(scope.collection_ids),
        "documents": _listed(scope.document_ids),
        "metadata": json.dumps(dict(scope.metadata)) if scope.metadata else None,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        if not exact:
            cursor.execute(
                f"SET LOCAL hnsw.ef_search = {EF_SEARCH}; SET LOCAL hnsw.iterative_scan = relaxed_order"
            )
        cursor.execute(statement, parameters)
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    near = [row.pop("near") for row in rows]
    return max(near, default=0), rows


def _listed(ids: tuple[UUID, ...] | None) -> list[UUID] | None:
    return None if ids is None else list(ids)


def _conditions(scope: Scope) -> str:
    parts = []
    if scope.collection_ids is not None:
        parts.append(" AND document.collection_id = ANY(%(collections)s::uuid[])")
    if scope.document_ids is not None:
        parts.append(" AND document.id = ANY(%(documents)s::uuid[])")
    if scope.metadata:
        parts.append(" AND document.metadata @> %(metadata)s::jsonb")
    return "".join(parts)


def _sparse(terms: Sequence[_Term]) -> str:
    # An empty sparsevec scores every chunk 0, and no chunk has a term of the empty array.
    return SparseVector({term.id - 1: term.idf for term in terms}, lexical.MAX_DIMENSIONS).to_text()


def _rarest(terms: Sequence[_Term]) -> list[_Term]:
    """The rarest terms whose chunks together stay within the budget; always at least one."""
    rows = accumulate(term.chunks for term in terms)
    return [
        term
        for number, (term, total) in enumerate(zip(terms, rows, strict=True))
        if not number or total <= ROW_BUDGET
    ]
