"""Stores a document's chunks, vectors and lexical index, and takes them out again.

Every change of a tenant's corpus happens in one transaction that locks the tenant's row of statistics first, so
that counts of terms stay exact whoever else is loading, and raises the corpus version last.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from pgvector import HalfVector

from accounts import corpus
from accounts.models import Tenant
from apikeys.models import KeyCollection
from documents import copying, files, passages, states, versions
from documents.embedding import spaces
from documents.models import (
    Chunk,
    ChunkVector,
    Collection,
    CorpusStatistics,
    Document,
    DocumentText,
    Term,
)
from documents.passages import Prepared
from ragsite.lib.identifiers import uuid7

CHUNK_COLUMNS = {
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
_TEXT_COLUMNS = {"document_id": "uuid", "tenant_id": "uuid", "text": "text"}
VECTOR_COLUMNS = {
    "chunk_id": "uuid",
    "space_id": "uuid",
    "tenant_id": "uuid",
    "document_id": "uuid",
    "vector": "halfvec",
}

_ADD_TERMS = """
INSERT INTO documents_term (tenant_id, term, chunks)
SELECT tenant_id, unnest(terms) AS term, count(*) FROM documents_chunk WHERE document_id = ANY(%s) GROUP BY 1, 2
ON CONFLICT (tenant_id, term) DO UPDATE SET chunks = documents_term.chunks + excluded.chunks
"""
_SUBTRACT_TERMS = """
UPDATE documents_term SET chunks = documents_term.chunks - gone.chunks
FROM (SELECT tenant_id, unnest(terms) AS term, count(*) AS chunks
      FROM documents_chunk WHERE document_id = ANY(%s) GROUP BY 1, 2) AS gone
WHERE documents_term.tenant_id = gone.tenant_id AND documents_term.term = gone.term
"""
# By the document's own terms: a scan of all that a large tenant has would cost more than the rest of a removal.
_DROP_UNUSED_TERMS = """
DELETE FROM documents_term
USING (SELECT DISTINCT tenant_id, unnest(terms) AS term FROM documents_chunk WHERE document_id = ANY(%s)) AS gone
WHERE documents_term.tenant_id = gone.tenant_id AND documents_term.term = gone.term AND documents_term.chunks = 0
"""


def load(batch: Sequence[Prepared]) -> None:
    """Stores documents of one tenant, which are claimed, and makes them ready: searches see them from its commit on.

    What was superseded or deleted meanwhile is left out. Raises `spaces.Uncovered` where vectors are missing.
    """
    began = monotonic()
    documents = [prepared.document for prepared in batch]
    with transaction.atomic():
        # First, so that the documents' rows are locked, and nothing is stored for an attempt that lost its claim.
        versions.lock(documents)
        held = {document.pk for document in states.hold(documents)}
        kept = [prepared for prepared in batch if prepared.document.pk in held]
        if not kept:
            return
        replace(_covering(kept))
        for prepared in kept:
            _describe(prepared, storing=(monotonic() - began) * 1000 / len(kept))
        states.make_ready([prepared.document for prepared in kept])
        for version in versions.overtaken([prepared.document for prepared in kept]):
            remove(version)


def _covering(batch: Sequence[Prepared]) -> list[Prepared]:
    """The batch with its vectors in the live spaces, which are held from here on, and in no others."""
    live = spaces.hold()
    if any(space not in prepared.vectors for prepared in batch for space in live):
        raise spaces.Uncovered
    return [
        dataclasses.replace(prepared, vectors={space: prepared.vectors[space] for space in live})
        for prepared in batch
    ]


def _describe(prepared: Prepared, *, storing: float) -> None:
    document = prepared.document
    document.title, document.pages, document.chunks = prepared.title, prepared.pages, len(prepared.passages)
    document.timings["storing"] = round(storing, 1)


def replace(batch: Sequence[Prepared]) -> None:
    """Puts new chunks in the place of the old ones of documents of one tenant.

    Must run in the caller's transaction: a search sees the old chunks until its commit, and the new ones after.
    """
    with connection.cursor() as cursor:
        # A document of 20 million characters takes longer than a request may, and so does waiting behind one; the
        # heartbeat and the deadlock detector watch over both.
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    tenant_id, ids = batch[0].document.tenant_id, [prepared.document.pk for prepared in batch]
    statistics = locked(tenant_id)
    _take_out(tenant_id, ids, statistics)
    statistics.chunks += sum(len(prepared.passages) for prepared in batch)
    statistics.length += sum(len(passage.terms) for prepared in batch for passage in prepared.passages)
    if not statistics.average_length:
        statistics.average_length = statistics.length / max(1, statistics.chunks)
    statistics.save()
    _copy(batch, average=statistics.average_length)
    with connection.cursor() as cursor:
        cursor.execute(_ADD_TERMS, [ids])
    corpus.changed(tenant_id)


def _copy(batch: Sequence[Prepared], *, average: float) -> None:
    numbered = [(prepared, [uuid7() for _ in prepared.passages]) for prepared in batch]
    tables = (
        ("documents_documenttext", _TEXT_COLUMNS, (_text_row(prepared) for prepared in batch)),
        (
            "documents_chunk",
            CHUNK_COLUMNS,
            (row for prepared, ids in numbered for row in _chunk_rows(prepared, ids, average)),
        ),
        (
            "documents_chunkvector",
            VECTOR_COLUMNS,
            (row for prepared, ids in numbered for row in _vector_rows(prepared, ids)),
        ),
    )
    for table, columns, rows in tables:
        copying.copy(table, columns, rows)


def clear(document: Document) -> None:
    """Takes a document's chunks out of the corpus; to be called in a transaction."""
    if not Chunk.objects.for_tenant(document.tenant_id).filter(document=document).exists():
        return
    statistics = locked(document.tenant_id)
    _take_out(document.tenant_id, [document.pk], statistics)
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
    statistics = locked(document.tenant_id)
    _take_out(document.tenant_id, [document.pk], statistics)
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
    locked(tenant.pk)
    models = (KeyCollection, ChunkVector, Chunk, DocumentText, Document, Collection, Term, CorpusStatistics)
    for model in models:
        rows: Any = model.objects
        rows.for_tenant(tenant)._raw_delete(using=connection.alias)  # noqa: SLF001  else Django loads what cascades
    corpus.changed(tenant.pk)
    for name in names:
        transaction.on_commit(partial(files.discard, tenant.pk, name))


def locked(tenant_id: UUID) -> CorpusStatistics:
    """The row whose lock orders the changes of a tenant's corpus; held until the transaction ends."""
    CorpusStatistics.objects.for_tenant(tenant_id).get_or_create(tenant_id=tenant_id)
    return CorpusStatistics.objects.for_tenant(tenant_id).select_for_update().get()


def _take_out(tenant_id: UUID, ids: list[UUID], statistics: CorpusStatistics) -> None:
    chunks = Chunk.objects.for_tenant(tenant_id).filter(document__in=ids)
    gone = chunks.aggregate(chunks=Count("pk"), length=Coalesce(Sum("length"), 0))
    if not gone["chunks"]:
        return
    statistics.chunks -= gone["chunks"]
    statistics.length -= gone["length"]
    with connection.cursor() as cursor:
        cursor.execute(_SUBTRACT_TERMS, [ids])
        cursor.execute(_DROP_UNUSED_TERMS, [ids])
    vectors = ChunkVector.objects.for_tenant(tenant_id).filter(document_id__in=ids)
    texts = DocumentText.objects.for_tenant(tenant_id).filter(document__in=ids)
    for rows in (vectors, chunks, texts):
        rows._raw_delete(using=connection.alias)  # noqa: SLF001  else Django loads every row for its cascades


def _text_row(prepared: Prepared) -> tuple[Any, ...]:
    return prepared.document.pk, prepared.document.tenant_id, prepared.text


def _chunk_rows(prepared: Prepared, ids: Sequence[UUID], average: float) -> Iterator[tuple[Any, ...]]:
    document = prepared.document
    for pk, passage in zip(ids, prepared.passages, strict=True):
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
            passages.weights(passage.terms, average),
        )


def _vector_rows(prepared: Prepared, ids: Sequence[UUID]) -> Iterator[tuple[Any, ...]]:
    for space, vectors in prepared.vectors.items():
        for pk, vector in zip(ids, vectors, strict=True):
            yield pk, space.pk, prepared.document.tenant_id, prepared.document.pk, HalfVector(vector)
