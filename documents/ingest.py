"""From a file to chunks that can be searched. Whoever calls it owns the document by `states.claim`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from threading import Event, Thread

import numpy as np
import structlog
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection, transaction
from numpy.typing import NDArray

from documents import chunking, indexing, parsing, spaces, states
from documents.indexing import Passage
from documents.models import Document, EmbeddingSpace
from documents.structure import Limits, ParsedDocument
from ragsite.lib import row_security
from ragsite.lib.embedding_cache import embed_cached
from ragsite.lib.errors import AppError

# Vectors are made this many chunks at a time: small enough that a killed worker loses little and progress is seen
# to move, large enough that the model's batches are full.
BATCH = 256
_HEARTBEATS_A_LEASE = 4

logger = structlog.get_logger(__name__)

Stage = Document.Stage


class FileLost(Exception):
    """The storage has no such file: somebody removed it there, or a backup came back without it."""


def process(document: Document) -> None:
    """Ends in ready or failed, or gives the document back when a model could not be reached.

    Raises `states.Superseded` when the document was deleted or claimed by another attempt meanwhile: nothing was
    written then.
    """
    try:
        with _heartbeat(document):
            parsed = _parse(document)
            passages, vectors, space = _prepare(document, parsed)
            _store(document, parsed=parsed, passages=passages, vectors=vectors, space=space)
    except parsing.ParseFailed as failure:
        _fail(document, code=failure.code, detail=failure.text)
    except FileLost:
        _fail(document, code="file_lost", detail="The stored file is gone. Upload it again.")
    except AppError as error:  # an embedding model that failed, timed out or is not there
        logger.warning("ingestion gave a document back", document=str(document.pk), code=error.error_code)
        states.release(document, code=error.error_code, detail=error.detail)


@transaction.atomic
def _fail(document: Document, *, code: str, detail: str) -> None:
    states.fail(document, code=code, detail=detail)
    indexing.clear(document)  # an earlier version of us may have read it


def limits() -> Limits:
    return Limits(
        seconds=settings.PARSE_SECONDS,
        memory_bytes=settings.PARSE_MEMORY_BYTES,
        pages=settings.PARSE_MAX_PAGES,
        characters=settings.PARSE_MAX_CHARACTERS,
        decompressed_bytes=settings.PARSE_MAX_DECOMPRESSED_BYTES,
        depth=settings.PARSE_MAX_DEPTH,
    )


def _parse(document: Document) -> ParsedDocument:
    with _local_copy(document) as path:
        return parsing.parse(path, document.media_type, limits=limits())


@contextmanager
def _local_copy(document: Document) -> Iterator[Path]:
    """A path to the file: its own where the storage is a folder, a temporary copy where it is not."""
    name = document.file.name or ""
    if not default_storage.exists(name):
        raise FileLost
    try:
        yield Path(default_storage.path(name))
    except NotImplementedError:
        with NamedTemporaryFile() as copy, default_storage.open(name) as stored:
            for piece in stored.chunks():
                copy.write(piece)
            copy.flush()
            yield Path(copy.name)


def _prepare(
    document: Document, parsed: ParsedDocument
) -> tuple[list[Passage], NDArray[np.float32], EmbeddingSpace]:
    states.advance(document, Stage.CHUNKING)
    passages = indexing.analyse(
        document.tenant_id, parsed.text, chunking.chunk(parsed), title=_title(document, parsed)
    )
    space = spaces.active()
    vectors = _embed(document, passages, space)
    return passages, vectors, space


def _embed(document: Document, passages: list[Passage], space: EmbeddingSpace) -> NDArray[np.float32]:
    model = spaces.model(space)
    made = [np.empty((0, space.dimensions), dtype=np.float32)]
    for start in range(0, len(passages), BATCH):
        states.advance(document, Stage.EMBEDDING, done=start, total=len(passages))
        texts = [passage.context for passage in passages[start : start + BATCH]]
        made.append(embed_cached(model, texts, space=space.pk))
    return np.concatenate(made)


def _store(
    document: Document,
    *,
    parsed: ParsedDocument,
    passages: list[Passage],
    vectors: NDArray[np.float32],
    space: EmbeddingSpace,
) -> None:
    states.advance(document, Stage.STORING, done=len(passages), total=len(passages))
    with transaction.atomic():
        # First, so that the document's row is locked, and nothing is stored for an attempt that lost its claim.
        states.make_ready(
            document,
            pages=len(parsed.page_starts) or None,
            chunks=len(passages),
            title=_title(document, parsed),
        )
        indexing.replace(document, text=parsed.text, passages=passages, vectors=vectors, space=space)
    indexing.settle(document.tenant_id)


def _title(document: Document, parsed: ParsedDocument) -> str:
    """What the document calls itself, or else its file's name."""
    return parsed.title[:300].strip() or PurePosixPath(document.filename).stem[:300]


@contextmanager
def _heartbeat(document: Document) -> Iterator[None]:
    """Extends the lease from a thread of its own while the work goes on."""
    over = Event()
    thread = Thread(target=_beat, args=(document, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(document: Document, over: Event) -> None:
    while not over.wait(settings.INGEST_LEASE_SECONDS / _HEARTBEATS_A_LEASE):
        try:
            with row_security.within(document.tenant_id):  # a thread begins with nobody's rows
                states.extend_lease(document)
        except states.Superseded:
            return  # the work's own next write meets the same, and stops
        except DatabaseError as error:  # a blip; the lease outlives a few lost beats
            logger.warning("a heartbeat was lost", document=str(document.pk), error=str(error))
        finally:
            connection.close()  # else it would keep one of the pool's for the whole ingestion
