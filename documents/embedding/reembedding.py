"""Builds a space's vectors beside the space that serves, in short steps, and lets it serve once nothing is missing.

A step may be killed at any point. What is missing is found from the rows, so that the next one goes on from there: a
vector is stored once, whoever stores it, and a cursor only saves looking again at what has been seen.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from pgvector import HalfVector

from accounts import corpus
from documents import chunking, copying, heartbeats
from documents.embedding import spaces, stored_chunks, vector_index
from documents.embedding.spaces import State
from documents.embedding.stored_chunks import Stored, TooMuch
from documents.embedding_space import MOST_CHUNKS
from documents.models import CorpusStatistics, EmbeddingSpace
from ragsite.lib import row_security
from ragsite.lib.errors import AppError
from ragsite.lib.inference.embeddings import Vectors

STEP_SECONDS = 4.0

logger = structlog.get_logger(__name__)

# Both keys ascend, so that what the cursor has passed is not looked at again. What comes in behind it has its vectors
# already, or is found when the end is reached.
_NEXT: Final = """
SELECT chunk.id, chunk.tenant_id, chunk.document_id, chunk.ordinal, chunk.text, chunk.heading, document.title
FROM documents_chunk AS chunk JOIN documents_document AS document ON document.id = chunk.document_id
WHERE (chunk.tenant_id, chunk.id) > (%(tenant)s, %(chunk)s) AND NOT EXISTS (
    SELECT FROM documents_chunkvector AS vector WHERE vector.chunk_id = chunk.id AND vector.space_id = %(space)s)
ORDER BY chunk.tenant_id, chunk.id LIMIT %(batch)s
"""
_IS_MISSING: Final = """
SELECT EXISTS (SELECT FROM documents_chunk AS chunk WHERE NOT EXISTS (
    SELECT FROM documents_chunkvector AS vector WHERE vector.chunk_id = chunk.id AND vector.space_id = %s))
"""
_STORE: Final = """
INSERT INTO documents_chunkvector (chunk_id, space_id, tenant_id, document_id, vector)
SELECT chunk.id, %s, chunk.tenant_id, chunk.document_id, made.vector
FROM {staged} AS made JOIN documents_chunk AS chunk ON chunk.id = made.chunk_id AND chunk.tenant_id = %s
ON CONFLICT (chunk_id, space_id) DO NOTHING
"""
_BEGINNING: Final = UUID(int=0)


def step(turn: UUID | None = None) -> UUID | None:
    """Builds for a few seconds on the space that is being built, if there is one and nobody else is at it.

    Returns the `turn` to be given to the next step where there is more to do at once. A model that fails makes the
    space pause, with the reason on its row.
    """
    claim = uuid4()
    space = _claimed(claim, turn)
    if space is None:
        return None
    try:
        with heartbeats.beating(partial(_extend_lease, space), space=str(space)):
            more = _built_on(space)
    except AppError as error:
        spaces.pause(space, error.detail)
        return None
    mine = EmbeddingSpace.objects.filter(pk=space.pk, claim=claim)
    mine.update(leased_until=Now() + _lease() if more else None)
    return claim if more else None


def _claimed(claim: UUID, turn: UUID | None) -> EmbeddingSpace | None:
    """The space, leased to this step; None where there is nothing to build, or another step has the lease.

    Between two steps the lease is kept for the one that knows its `turn`. Otherwise everyone who asks now and then, in
    case a worker died, would begin a row of steps of its own, and the queue would fill with them.
    """
    free = Q(leased_until=None) | Q(leased_until__lt=Now())
    if turn is not None:
        free |= Q(claim=turn)
    due = EmbeddingSpace.objects.filter(free, Q(is_complete=False) | Q(switches=True), state=State.BUILDING)
    return spaces.building() if due.update(claim=claim, leased_until=Now() + _lease()) else None


def _lease() -> timedelta:
    return timedelta(seconds=settings.INGEST_LEASE_SECONDS)


def _extend_lease(space: EmbeddingSpace) -> None:
    """A slow model, and an index, take longer than a lease lasts.

    Else a second worker would begin on the same chunks, and a model that is slow already would get them twice.
    """
    _update(space, leased_until=Now() + _lease())


def _update(space: EmbeddingSpace, **values: object) -> bool:
    """Whether it is being built still, and by this step."""
    mine = EmbeddingSpace.objects.filter(pk=space.pk, state=State.BUILDING, claim=space.claim)
    return bool(mine.update(**values))


def _built_on(space: EmbeddingSpace) -> bool:
    deadline = monotonic() + STEP_SECONDS
    while not space.is_complete:
        batch = _next(space)
        if not batch:
            return _at_the_end(space)
        if not _fill(space, batch):
            return False  # it was cancelled, or this step was taken for dead
        if monotonic() > deadline:
            return True
    return _served(space)


# Filling ------------------------------------------------------------------------------------------------------


def _next(space: EmbeddingSpace) -> list[Stored]:
    parameters: dict[str, Any] = {
        "tenant": space.cursor_tenant or _BEGINNING,
        "chunk": space.cursor_chunk or _BEGINNING,
        "space": space.pk,
        "batch": min(space.batch, MOST_CHUNKS),
    }
    with row_security.across(), transaction.atomic(), connection.cursor() as cursor:
        _unhurried()
        cursor.execute(_NEXT, parameters)
        return [
            Stored(
                pk, tenant_id, document_id, ordinal, chunking.in_context(text, title=title, heading=heading)
            )
            for pk, tenant_id, document_id, ordinal, text, heading, title in cursor.fetchall()
        ]


def _unhurried() -> None:
    """Until the end of the transaction: looking through millions of rows takes longer than a request may."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")


def _fill(space: EmbeddingSpace, batch: Sequence[Stored]) -> bool:
    """Stores the batch's vectors, or makes the next one smaller. Whether the space is being built still."""
    try:
        vectors = stored_chunks.embed(space, batch)
    except TooMuch:
        space.batch = len(batch) // 2
        logger.info("an embedding space is built on in smaller batches", space=str(space), batch=space.batch)
        return _update(space, batch=space.batch)
    stored, start = 0, 0
    for tenant_id, group in groupby(batch, key=attrgetter("tenant_id")):
        chunks = list(group)
        with row_security.within(tenant_id):
            stored += _store(space, tenant_id, chunks, vectors[start : start + len(chunks)])
        start += len(chunks)
    space.cursor_tenant, space.cursor_chunk = batch[-1].tenant_id, batch[-1].id
    if len(batch) == space.batch:  # and not the last few, which say nothing
        space.batch = _grown(space.batch)
    return _update(
        space,
        cursor_tenant=space.cursor_tenant,
        cursor_chunk=space.cursor_chunk,
        done=F("done") + stored,
        batch=space.batch,
        problem="",
        leased_until=Now() + _lease(),
    )


def _grown(batch: int) -> int:
    """By an eighth: from a model's best it takes several batches to the one that is too much for it again."""
    return min(MOST_CHUNKS, batch + max(1, batch // 8))


@transaction.atomic
def _store(space: EmbeddingSpace, tenant_id: UUID, chunks: Sequence[Stored], vectors: Vectors) -> int:
    """How many were stored: not those whose chunk was removed meanwhile, or got its vector."""
    _unhurried()
    spaces.hold()
    if not EmbeddingSpace.objects.filter(pk=space.pk, state=State.BUILDING).exists():
        return 0
    # As every change of a tenant's corpus: else one that removes these chunks could leave a vector of none.
    if CorpusStatistics.objects.for_tenant(tenant_id).select_for_update().first() is None:
        return 0  # the tenant was removed
    rows = ((chunk.id, HalfVector(vector)) for chunk, vector in zip(chunks, vectors, strict=True))
    staged = copying.stage("made_vectors", {"chunk_id": "uuid", "vector": "halfvec"}, rows)
    with connection.cursor() as cursor:
        cursor.execute(_STORE.format(staged=staged), [space.pk, tenant_id])
        return int(cursor.rowcount)


# The end ------------------------------------------------------------------------------------------------------


def _at_the_end(space: EmbeddingSpace) -> bool:
    """To be called when nothing is missing after the cursor. What came in behind it is found by beginning again."""
    with transaction.atomic():
        _unhurried()
        if is_missing(space):
            return _update(space, cursor_tenant=None, cursor_chunk=None)
    if not _update(space, is_complete=True, done=F("total"), problem=""):
        return False
    logger.info("an embedding space is complete", space=str(space))
    return space.switches


def is_missing(space: EmbeddingSpace) -> bool:
    """Whether any tenant's chunk lacks a vector in the space. Looks through all of them."""
    with row_security.across(), connection.cursor() as cursor:
        cursor.execute(_IS_MISSING, [space.pk])
        return bool(cursor.fetchone()[0])


def _served(space: EmbeddingSpace) -> bool:
    """Lets a complete space serve once it has its index, without which searches of a large corpus take seconds."""
    vector_index.tend(space)
    if not vector_index.is_ready(space):
        return False  # another worker builds it
    try:
        with row_security.across():
            return not _switch(space)
    except OperationalError as error:
        logger.warning("spaces could not be switched yet", space=str(space), error=str(error))
        return False


@transaction.atomic
def _switch(space: EmbeddingSpace) -> bool:
    """Makes the space the one that serves; False when it turns out to lack vectors, and has to be built on.

    Nobody loads meanwhile (`spaces.hold`), so that what is complete here is complete at the commit. Searches go on:
    each is held to the space that it began with, whose vectors stay for hours.
    """
    spaces.hold_alone()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
    if is_missing(space):
        _update(space, is_complete=False, cursor_tenant=None, cursor_chunk=None)
        return False
    EmbeddingSpace.objects.filter(state=State.ACTIVE).update(
        state=State.RETIRED, retired_at=Now(), drops_at=Now() + timedelta(hours=settings.RETIRED_SPACE_HOURS)
    )
    if not _update(space, state=State.ACTIVE, problem="", leased_until=None):
        transaction.set_rollback(True)  # it was cancelled
        return True
    corpus.all_changed()
    logger.info("an embedding space serves", space=str(space))
    return True
