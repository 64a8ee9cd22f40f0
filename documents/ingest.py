"""From files to chunks that can be searched. Whoever calls it owns the documents by a claim of `states`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from time import monotonic, sleep
from uuid import UUID

import numpy as np
import structlog
from django.db import connection, transaction
from numpy.typing import NDArray

from documents import files, heartbeats, indexing, reading, reweighing, states, versions
from documents.confined import parsing
from documents.embedding import spaces
from documents.models import Document, EmbeddingSpace
from documents.passages import Prepared
from documents.reading import Draft, TakesLong
from ragsite.lib import postgres, row_security
from ragsite.lib.errors import AppError, ModelRefused, Unavailable
from ragsite.lib.inference.embedding_cache import embed_cached

# Vectors are made this many chunks at a time: small enough that a killed worker loses little and progress is seen
# to move, large enough that the model's batches are full.
BATCH = 256
# A batch whose files take longer to read is cut short: what is left of it is claimed again, after other tenants'.
READING_SECONDS = 2.0
ENDPOINT_BATCH = 2_048  # an endpoint's time goes to requests, and one holds so many at the most
# A worker waits so long for Postgres to be back. It has nothing else to do; what takes longer costs an attempt.
OUTAGE_SECONDS = 300.0
_LOOK_SECONDS = 0.25

logger = structlog.get_logger(__name__)

Stage = Document.Stage
Vectors = NDArray[np.float32]


def process(batch: Sequence[Document]) -> None:
    """Documents of one tenant: each ends ready or failed, or is given back when a model could not be had.

    They are read one by one, embedded together, and stored in one transaction. What was deleted or claimed by another
    attempt meanwhile is dropped, and nothing is written for it.
    """
    with heartbeats.beating(partial(_extend_leases, batch), documents=len(batch)):
        try:
            _process(batch)
        except postgres.DOWN as error:
            if not postgres.is_away(error):
                raise
            _outlast(batch, error)


def _extend_leases(batch: Sequence[Document]) -> None:
    with row_security.within(batch[0].tenant_id):  # a thread begins with nobody's rows
        states.extend_leases(batch)


def _process(batch: Sequence[Document]) -> None:
    drafts = list(_drafts(batch))
    while not _stored(_embedded(drafts)):
        logger.info("embedding spaces were changed before documents were stored", documents=len(drafts))
    if drafts:
        reweighing.settle(drafts[0].document.tenant_id)


def _outlast(batch: Sequence[Document], error: Exception) -> None:
    """Gives back what an outage of Postgres broke off, once it is over.

    Else each outage would cost every document that it hits an attempt, and the third one would fail it. One that
    brings Postgres down by itself is tried ever less often, and failed after a day.
    """
    logger.warning("Postgres was lost", documents=len(batch), error=str(error))
    deadline = monotonic() + OUTAGE_SECONDS
    while True:
        connection.close()  # what is left of it would be asked again
        try:
            _give_back(batch, Unavailable("The database was away while the document was being processed."))
        except postgres.DOWN:
            if monotonic() > deadline:
                raise
            sleep(_LOOK_SECONDS)
        else:
            return


def process_now(document_id: UUID) -> None:
    """Processes one document here, unless it is unknown, finished, or in work."""
    while document := _claimed(document_id):  # again, where it was handed to the other lane
        with row_security.within(document.tenant_id):
            process([document])


def _claimed(document_id: UUID) -> Document | None:
    with row_security.across():
        return states.claim(document_id)


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


def _drafts(batch: Sequence[Document]) -> Iterator[Draft]:
    """Those of the batch that could be read, in as much time as others may be made to wait."""
    began = monotonic()
    for number, document in enumerate(batch):
        if monotonic() - began > READING_SECONDS:
            states.let_go(batch[number:])
            return
        if draft := _draft(document):
            yield draft


def _draft(document: Document) -> Draft | None:
    """The document read and cut; None when that failed, which then stands on its row, or it is no longer ours."""
    try:
        return reading.draft(document)
    except parsing.ParseFailed as failure:
        fail(document, code=failure.code, detail=failure.text)
    except files.FileLost:
        fail(document, code="file_lost", detail="The stored file is gone. Upload it again.")
    except TakesLong:
        states.move_to_low(document)
    except AppError as error:  # a storage that cannot be asked for now
        _give_back([document], error)
    return None


def _stored(prepared: Sequence[Prepared]) -> bool:
    """False where vectors are missing since the spaces were changed; those that are there are in the cache."""
    if prepared and states.advance([ready.document for ready in prepared], Stage.STORING):
        try:
            indexing.load(prepared)
        except spaces.Uncovered:
            return False
    return True


# Embedding ---------------------------------------------------------------------------------------------------


def _embedded(drafts: Sequence[Draft]) -> list[Prepared]:
    """The drafts with their vectors, without those that are no longer ours or had to be given back."""
    try:
        return _prepared(drafts)
    except ModelRefused as error:
        if len(drafts) > 1:  # one of them may hold what the endpoint refuses
            return [prepared for draft in drafts for prepared in _embedded([draft])]
        _give_back([draft.document for draft in drafts], error)
    except AppError as error:  # a model that cannot be had, for none of them
        _give_back([draft.document for draft in drafts], error)
    return []


def _give_back(documents: Sequence[Document], error: AppError) -> None:
    reason = {"code": error.error_code, "detail": error.detail}
    logger.warning("documents were given back", documents=len(documents), code=error.error_code)
    for document in documents:
        if not states.give_back(document, **reason):
            fail(document, **reason)


def _prepared(drafts: Sequence[Draft]) -> list[Prepared]:
    """Raises AppError when a model could not be had."""
    began = monotonic()
    made: dict[EmbeddingSpace, dict[UUID, Vectors]] = {}
    for space in spaces.live() if drafts else ():
        with spaces.excused(space):
            made[space] = _vectors(drafts, space)
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
    size = BATCH if model.provider == "local" else ENDPOINT_BATCH
    patience = spaces.patience(space)
    vectors = {draft.document.pk: _known(draft, space) for draft in drafts}
    for piece in _pieces(drafts, vectors, size=size):
        mine = {document.pk for document in states.advance(_documents(piece), Stage.EMBEDDING)}
        kept = [(document, text) for document, text in piece if document.pk in mine]
        owner, texts = drafts[0].document.tenant_id, [text for _, text in kept]
        made = embed_cached(model, texts, space=space.pk, owner=owner, patience_seconds=patience)
        for (document, text), vector in zip(kept, made, strict=True):
            vectors[document.pk][text] = vector
            document.progress_done += 1
    empty = np.empty((0, space.dimensions), dtype=np.float32)
    return {
        draft.document.pk: np.vstack([empty, *(vectors[draft.document.pk][text] for text in draft.texts)])
        for draft in drafts
        if vectors[draft.document.pk].keys() >= set(draft.texts)
    }


def _known(draft: Draft, space: EmbeddingSpace) -> dict[str, Vectors]:
    """Vectors that need not be made, by their texts; they count as progress."""
    known = versions.known_vectors(draft.document, draft.texts, space=space)
    draft.document.progress_done = sum(text in known for text in draft.texts)
    return known


def _pieces(
    drafts: Sequence[Draft], known: Mapping[UUID, Mapping[str, Vectors]], *, size: int
) -> Iterator[list[tuple[Document, str]]]:
    """All their texts without vectors in turn, `size` at a time."""
    texts = [
        (draft.document, text)
        for draft in drafts
        for text in draft.texts
        if text not in known[draft.document.pk]
    ]
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def _documents(piece: Sequence[tuple[Document, str]]) -> list[Document]:
    return list({document.pk: document for document, _ in piece}.values())
