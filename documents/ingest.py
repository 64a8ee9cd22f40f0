"""From files to chunks that can be searched. Whoever calls it owns the documents by a claim of `states`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from uuid import UUID

import numpy as np
import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from numpy.typing import NDArray

from documents import indexing, parsing, reading, reweighing, spaces, states
from documents.indexing import Passage, Prepared
from documents.models import Document, EmbeddingSpace
from documents.reading import Draft, FileLost
from ragsite.lib import row_security
from ragsite.lib.embedding_cache import embed_cached
from ragsite.lib.errors import AppError, ModelRefused

# Vectors are made this many chunks at a time: small enough that a killed worker loses little and progress is seen
# to move, large enough that the model's batches are full.
BATCH = 256
ENDPOINT_BATCH = 2_048  # an endpoint's time goes to requests, and one holds so many at the most
_HEARTBEATS_A_LEASE = 4

logger = structlog.get_logger(__name__)

Stage = Document.Stage
Vectors = NDArray[np.float32]


def process(batch: Sequence[Document]) -> None:
    """Documents of one tenant: each ends ready or failed, or is given back when a model could not be had.

    They are read one by one, embedded together, and stored in one transaction. What was deleted or claimed by another
    attempt meanwhile is dropped, and nothing is written for it.
    """
    with _heartbeat(batch):
        drafts = [draft for document in batch if (draft := _draft(document))]
        prepared = _embedded(drafts)
        if prepared and states.advance([ready.document for ready in prepared], Stage.STORING):
            indexing.load(prepared)
            reweighing.settle(prepared[0].document.tenant_id)


def process_now(document_id: UUID) -> None:
    """Processes one document here, unless it is unknown, finished, or in work."""
    with row_security.across():
        document = states.claim(document_id)
    if document is not None:
        with row_security.within(document.tenant_id):
            process([document])


@transaction.atomic
def fail(document: Document, *, code: str, detail: str) -> None:
    """Fails a document that the caller has claimed."""
    if states.fail(document, code=code, detail=detail):
        indexing.clear(document)  # an earlier version of us may have read it


@transaction.atomic
def give_up(document: Document) -> None:
    """Fails a document whose attempts are spent (`states.spent`)."""
    if states.give_up(document):
        indexing.clear(document)


def _draft(document: Document) -> Draft | None:
    """The document read and cut; None when that failed, which then stands on its row, or it is no longer ours."""
    try:
        return reading.draft(document)
    except parsing.ParseFailed as failure:
        fail(document, code=failure.code, detail=failure.text)
    except FileLost:
        fail(document, code="file_lost", detail="The stored file is gone. Upload it again.")
    return None


# Embedding ---------------------------------------------------------------------------------------------------


def _embedded(drafts: Sequence[Draft]) -> list[Prepared]:
    """The drafts with their vectors, without those that are no longer ours or had to be given back."""
    try:
        return _prepared(drafts)
    except ModelRefused as error:
        if len(drafts) > 1:  # one of them may hold what the endpoint refuses
            return [prepared for draft in drafts for prepared in _embedded([draft])]
        _give_back(drafts, error)
    except AppError as error:  # a model that cannot be had, for none of them
        _give_back(drafts, error)
    return []


def _give_back(drafts: Sequence[Draft], error: AppError) -> None:
    reason = {"code": error.error_code, "detail": error.detail}
    logger.warning("documents were given back", documents=len(drafts), code=error.error_code)
    for draft in drafts:
        if not states.give_back(draft.document, **reason):
            fail(draft.document, **reason)


def _prepared(drafts: Sequence[Draft]) -> list[Prepared]:
    """Raises AppError when a model could not be had."""
    began = monotonic()
    made = {space: _vectors(drafts, space) for space in spaces.live()} if drafts else {}
    whole = [draft for draft in drafts if all(draft.document.pk in vectors for vectors in made.values())]
    chunks = sum(len(draft.passages) for draft in whole)
    for draft in whole:  # its part of the time that they took together
        share = len(draft.passages) / max(1, chunks)
        draft.document.timings["embedding"] = round((monotonic() - began) * 1000 * share, 1)
    return [
        Prepared(
            document=draft.document,
            text=draft.parsed.text,
            pages=len(draft.parsed.page_starts) or None,
            title=draft.title,
            passages=draft.passages,
            vectors={space: vectors[draft.document.pk] for space, vectors in made.items()},
        )
        for draft in whole
    ]


def _vectors(drafts: Sequence[Draft], space: EmbeddingSpace) -> dict[UUID, Vectors]:
    """The vectors of each document's passages, by its id; of those that are still ours."""
    model = spaces.model(space)
    rows: dict[UUID, list[Vectors]] = {draft.document.pk: [] for draft in drafts}
    for draft in drafts:
        draft.document.progress_done = 0
    for piece in _pieces(drafts, BATCH if model.provider == "local" else ENDPOINT_BATCH):
        mine = {document.pk for document in states.advance(_documents(piece), Stage.EMBEDDING)}
        kept = [(document, passage) for document, passage in piece if document.pk in mine]
        texts = [passage.context for _, passage in kept]
        patience = settings.EMBEDDING_PATIENCE_SECONDS
        made = embed_cached(model, texts, space=space.pk, patience_seconds=patience)
        for (document, _), vector in zip(kept, made, strict=True):
            rows[document.pk].append(vector)
            document.progress_done += 1
    whole = [draft for draft in drafts if len(rows[draft.document.pk]) == len(draft.passages)]
    empty = np.empty((0, space.dimensions), dtype=np.float32)
    return {draft.document.pk: np.vstack([empty, *rows[draft.document.pk]]) for draft in whole}


def _pieces(drafts: Sequence[Draft], size: int) -> Iterator[list[tuple[Document, Passage]]]:
    """All their passages in turn, `size` at a time."""
    passages = [(draft.document, passage) for draft in drafts for passage in draft.passages]
    for start in range(0, len(passages), size):
        yield passages[start : start + size]


def _documents(piece: Sequence[tuple[Document, Passage]]) -> list[Document]:
    return list({document.pk: document for document, _ in piece}.values())


# The lease ---------------------------------------------------------------------------------------------------


@contextmanager
def _heartbeat(batch: Sequence[Document]) -> Iterator[None]:
    """Extends the leases from a thread of its own while the work goes on."""
    over = Event()
    thread = Thread(target=_beat, args=(batch, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(batch: Sequence[Document], over: Event) -> None:
    while not over.wait(settings.INGEST_LEASE_SECONDS / _HEARTBEATS_A_LEASE):
        try:
            with row_security.within(batch[0].tenant_id):  # a thread begins with nobody's rows
                states.extend_leases(batch)
        except DatabaseError as error:  # a blip; the lease outlives a few lost beats
            logger.warning("a heartbeat was lost", documents=len(batch), error=str(error))
        finally:
            connection.close()  # else it would keep one of the pool's for the whole ingestion
