"""Stores a document's chunks, vectors and lexical index, and takes them out again.

Every change of a tenant's corpus happens in one transaction that locks the tenant's row of statistics first, so
that counts of terms stay exact whoever else is loading, and raises the corpus version last.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection, transaction
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from numpy.typing import NDArray
from pgvector import HalfVector, SparseVector

from accounts import corpus
from accounts.models import Tenant
from apikeys.models import KeyCollection
from documents import chunking, copying, files, lexical
from documents.chunking import Piece
from documents.models import (
    Chunk,
    ChunkVector,
    Collection,
    CorpusStatistics,
    Document,
    DocumentText,
    EmbeddingSpace,
    Term,
)
from ragsite.lib.identifiers import uuid7

# Stored weights are made with an average chunk length that may be off by this much before they are made anew.
# BM25 feels it little: at 10 % a chunk of average length has its weights off by at most 2 %.
TOLERANCE = 0.1
_BATCH = 1_000

_CHUNK_COLUMNS = {
    "id": "uuid",
    "tenant_id": "uuid",
    "document_id": "uuid",
    "ordinal": "int4",
    "text": "text",
    "heading": "text",
    "first_page": "int4",
    "last_page": "int4",
    "start": "int4",
    '"end"': "int4",
    "length": "int4",
    "terms": "int4[]",
    "weights": "sparsevec",
}
_VECTOR_COLUMNS = {"chunk_id": "uuid", "space_id": "uuid", "tenant_id": "uuid", "vector": "halfvec"}

_ADD_TERMS = """
INSERT INTO documents_term (tenant_id, term, chunks)
SELECT tenant_id, unnest(terms) AS term, count(*) FROM documents_chunk WHERE document_id = %s GROUP BY 1, 2
ON CONFLICT (tenant_id, term) DO UPDATE SET chunks = documents_term.chunks + excluded.chunks
"""
_SUBTRACT_TERMS = """
UPDATE documents_term SET chunks = documents_term.chunks - gone.chunks
FROM (SELECT tenant_id, unnest(terms) AS term, count(*) AS chunks
      FROM documents_chunk WHERE document_id = %s GROUP BY 1, 2) AS gone
WHERE documents_term.tenant_id = gone.tenant_id AND documents_term.term = gone.term
"""
# By the document's own terms: a scan of all that a large tenant has would cost more than the rest of a removal.
_DROP_UNUSED_TERMS = """
DELETE FROM documents_term USING (SELECT DISTINCT tenant_id, unnest(terms) AS term FROM documents_chunk WHERE document_id = %s) AS gone
WHERE documents_term.tenant_id = gone.tenant_id AND documents_term.term = gone.term AND documents_term.chunks = 0
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document: its text, what is indexed and embedded for it, and the ids of that one's terms."""

    piece: Piece
    text: str
    context: str
    terms: Sequence[int]


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


def replace(
    document: Document,
    *,
    text: str,
    passages: Sequence[Passage],
    vectors: NDArray[np.float32],
    space: EmbeddingSpace,
) -> None:
    """Puts new chunks in the place of a document's old ones; `vectors` is (chunks, dimensions).

    Must run in the caller's transaction: a search sees the old chunks until its commit, and the new ones after.
    """
    with connection.cursor() as cursor:
        # A document of 20 million characters takes longer than a request may, and so does waiting behind one; the
        # heartbeat and the deadlock detector watch over both.
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    statistics = _locked(document.tenant_id)
    _take_out(document, statistics)
    statistics.chunks += len(passages)
    statistics.length += sum(len(passage.terms) for passage in passages)
    if not statistics.average_length:
        statistics.average_length = statistics.length / max(1, statistics.chunks)
    statistics.save()
    DocumentText.objects.for_tenant(document.tenant_id).create(
        tenant_id=document.tenant_id, document=document, text=text
    )
    ids = [uuid7() for _ in passages]
    copying.copy(
        "documents_chunk", _CHUNK_COLUMNS, _chunk_rows(document, ids, passages, statistics.average_length)
    )
    copying.copy("documents_chunkvector", _VECTOR_COLUMNS, _vector_rows(document, ids, vectors, space))
    with connection.cursor() as cursor:
        cursor.execute(_ADD_TERMS, [document.pk])
    corpus.changed(document.tenant_id)


def clear(document: Document) -> None:
    """Takes a document's chunks out of the corpus; to be called in a transaction."""
    if not Chunk.objects.for_tenant(document.tenant_id).filter(document=document).exists():
        return
    statistics = _locked(document.tenant_id)
    _take_out(document, statistics)
    statistics.save()
    corpus.changed(document.tenant_id)


@transaction.atomic
def remove(document: Document) -> None:
    """Deletes a document with everything made of it; does nothing when somebody else just did."""
    # The document before the statistics, as a worker that makes it ready locks them: the other way round each
    # could hold what the other waits for.
    if (
        not Document.objects.for_tenant(document.tenant_id)
        .select_for_update()
        .filter(pk=document.pk)
        .exists()
    ):
        return
    statistics = _locked(document.tenant_id)
    _take_out(document, statistics)
    statistics.save()
    tenant_id, name = document.tenant_id, document.file.name or ""
    document.delete()
    corpus.changed(tenant_id)
    transaction.on_commit(partial(files.discard, tenant_id, name))


@transaction.atomic
def erase(tenant: Tenant) -> None:
    """Deletes a tenant's whole corpus at once, files and all."""
    documents = Document.objects.for_tenant(tenant).select_for_update().order_by("pk")
    names = set(documents.values_list("file", flat=True))
    _locked(tenant.pk)
    models = (KeyCollection, ChunkVector, Chunk, DocumentText, Document, Collection, Term, CorpusStatistics)
    for model in models:
        rows: Any = model.objects
        rows.for_tenant(tenant)._raw_delete(using=connection.alias)  # noqa: SLF001  else Django loads what cascades
    corpus.changed(tenant.pk)
    for name in names:
        transaction.on_commit(partial(files.discard, tenant.pk, name))


def drifted(statistics: CorpusStatistics) -> bool:
    """Whether the weights were made with an average length that is no longer near the truth."""
    if not statistics.chunks or not statistics.average_length:
        return False
    return abs(statistics.length / statistics.chunks / statistics.average_length - 1) > TOLERANCE


def settle(tenant_id: UUID) -> None:
    """Reweighs a small corpus at once: its first documents are far from its average, and it is the work of a moment."""
    statistics = CorpusStatistics.objects.for_tenant(tenant_id).first()
    if statistics is not None and statistics.chunks <= _BATCH and drifted(statistics):
        reweigh(tenant_id)


def reweigh(tenant_id: UUID) -> None:
    """Makes a tenant's BM25 weights anew with today's average length of a chunk.

    In many short transactions, so that nobody who loads has to wait for more than a batch; the last one takes the
    chunks that came in meanwhile, whose ids are the greatest. A process that dies in between leaves weights of
    both averages, and the old one on record: the next run starts again.
    """
    statistics = CorpusStatistics.objects.for_tenant(tenant_id).get()
    average = statistics.length / max(1, statistics.chunks)
    done = _reweigh_batch(tenant_id, average, after=None)
    while done is not None:
        done = _reweigh_batch(tenant_id, average, after=done)


@transaction.atomic
def _reweigh_batch(tenant_id: UUID, average: float, *, after: UUID | None) -> UUID | None:
    """Weighs the next chunks; returns the last one's id, or None when there are no more and the average is on record."""
    statistics = _locked(tenant_id)
    chunks = (
        Chunk.objects.for_tenant(tenant_id)
        .select_related("document")
        .defer("terms", "weights")
        .order_by("id")
    )
    batch = list((chunks if after is None else chunks.filter(pk__gt=after))[:_BATCH])
    rows = ((chunk.pk, _weights(term_ids(tenant_id, context(chunk)), average)) for chunk in batch)
    staged = copying.stage("weights", {"id": "uuid", "weights": "sparsevec"}, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE documents_chunk SET weights = made.weights FROM {staged} AS made WHERE documents_chunk.id = made.id"  # noqa: S608  a name from code
        )
    if len(batch) == _BATCH:
        return batch[-1].pk
    statistics.average_length = average
    statistics.save()
    corpus.changed(tenant_id)
    return None


def _locked(tenant_id: UUID) -> CorpusStatistics:
    CorpusStatistics.objects.for_tenant(tenant_id).get_or_create(tenant_id=tenant_id)
    return CorpusStatistics.objects.for_tenant(tenant_id).select_for_update().get()


def _take_out(document: Document, statistics: CorpusStatistics) -> None:
    chunks = Chunk.objects.for_tenant(document.tenant_id).filter(document=document)
    gone = chunks.aggregate(chunks=Count("pk"), length=Coalesce(Sum("length"), 0))
    if not gone["chunks"]:
        return
    statistics.chunks -= gone["chunks"]
    statistics.length -= gone["length"]
    with connection.cursor() as cursor:
        cursor.execute(_SUBTRACT_TERMS, [document.pk])
        cursor.execute(_DROP_UNUSED_TERMS, [document.pk])
    vectors = ChunkVector.objects.for_tenant(document.tenant_id).filter(chunk__document=document)
    for rows in (vectors, chunks):
        rows._raw_delete(using=connection.alias)  # noqa: SLF001  else Django loads every row for its cascades
    DocumentText.objects.for_tenant(document.tenant_id).filter(document=document).delete()


def _chunk_rows(
    document: Document, ids: Sequence[UUID], passages: Sequence[Passage], average: float
) -> Iterator[tuple[Any, ...]]:
    for pk, passage in zip(ids, passages, strict=True):
        piece = passage.piece
        yield (
            pk,
            document.tenant_id,
            document.pk,
            piece.ordinal,
            passage.text,
            piece.heading,
            piece.first_page,
            piece.last_page,
            piece.start,
            piece.end,
            len(passage.terms),
            sorted(set(passage.terms)),
            _weights(passage.terms, average),
        )


def _vector_rows(
    document: Document, ids: Sequence[UUID], vectors: NDArray[np.float32], space: EmbeddingSpace
) -> Iterator[tuple[Any, ...]]:
    for pk, vector in zip(ids, vectors, strict=True):
        yield pk, space.pk, document.tenant_id, HalfVector(vector)


def _weights(terms: Sequence[int], average: float) -> SparseVector:
    weights = lexical.document_weights(Counter(terms), length=len(terms), average_length=average)
    # A sparsevec counts its dimensions from 1, pgvector's Python class from 0.
    return SparseVector({term - 1: weight for term, weight in weights.items()}, lexical.MAX_DIMENSIONS)
