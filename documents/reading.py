"""From a claimed document's file to its passages: parsed in a process of its own, cut, and named."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from time import monotonic

from django.conf import settings
from django.utils import timezone

from documents import chunking, files, states
from documents.confined import ocr, parsing
from documents.models import Document
from documents.passages import Passage, analyse
from documents.structure import Failure, Limits, ParsedDocument

Queue, Stage = Document.Queue, Document.Stage

_LONG = 500_000  # characters; less is cut before anybody could see that it is being cut


class TakesLong(Exception):
    """More than a worker for small files should be held up by."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that was read and cut, and has no vectors yet."""

    document: Document
    parsed: ParsedDocument
    passages: list[Passage]
    title: str

    @property
    def texts(self) -> list[str]:
        """What is embedded, passage by passage."""
        return [passage.context for passage in self.passages]


def draft(document: Document) -> Draft | None:
    """Reads and cuts a claimed document; None when it is no longer the caller's. Begins its timings, in milliseconds.

    Raises `parsing.ParseFailed`, `files.FileLost`, `TakesLong`, and Unavailable where the storage cannot be asked for
    now.
    """
    waited = (timezone.now() - document.not_before).total_seconds()
    document.timings = {"waiting": round(max(0, waited) * 1000, 1)}
    if not states.begin(document):
        return None
    with timed(document, Stage.PARSING):
        parsed = _parse(document)
    if document.queue == Queue.DEFAULT and len(parsed.text) > settings.QUICK_CHUNKS * chunking.MAXIMUM:
        raise TakesLong  # told before the work is done, which may be most of what there is
    if len(parsed.text) > _LONG and not states.advance([document], Stage.CHUNKING):
        return None
    with timed(document, Stage.CHUNKING):
        made = _cut(document, parsed)
    if document.queue == Queue.DEFAULT and len(made.passages) > settings.QUICK_CHUNKS:
        raise TakesLong
    return made


@contextmanager
def timed(document: Document, stage: Document.Stage) -> Iterator[None]:
    """Notes in the document's timings how long the block took."""
    began = monotonic()
    yield
    document.timings[stage.value] = round((monotonic() - began) * 1000, 1)


def limits(queue: Document.Queue = Queue.LOW) -> Limits:
    """What reading one file may cost. Small files get less time: what takes longer is read again in the other lane."""
    seconds = settings.PARSE_SECONDS
    return Limits(
        seconds=min(seconds, settings.QUICK_PARSE_SECONDS) if queue == Queue.DEFAULT else seconds,
        memory_bytes=settings.PARSE_MEMORY_BYTES,
        pages=settings.PARSE_MAX_PAGES,
        characters=settings.PARSE_MAX_CHARACTERS,
        decompressed_bytes=settings.PARSE_MAX_DECOMPRESSED_BYTES,
        depth=settings.PARSE_MAX_DEPTH,
    )


def _parse(document: Document) -> ParsedDocument:
    bounds = limits(Queue(document.queue))
    try:
        with files.local_copy(document.file.name or "") as path:
            parsed = parsing.parse(path, document.media_type, limits=bounds)
            if document.queue == Queue.DEFAULT and ocr.is_needed(parsed):
                raise TakesLong
            parsed = ocr.complete(path, parsed, limits=bounds)
    except parsing.ParseFailed as failure:
        if failure.code is Failure.TIMED_OUT and bounds.seconds < settings.PARSE_SECONDS:
            raise TakesLong from failure
        raise
    document.unread_pages, document.ocr_pages = parsed.unread_pages, parsed.ocr_pages
    return parsed


def _cut(document: Document, parsed: ParsedDocument) -> Draft:
    title = _title(document, parsed)
    pieces = chunking.chunk(parsed)
    passages = analyse(document.tenant_id, parsed.text, pieces, title=title)
    document.progress_total = len(passages)
    return Draft(document, parsed, passages, title)


def _title(document: Document, parsed: ParsedDocument) -> str:
    """What the document calls itself, or else its file's name."""
    return parsed.title[:300].strip() or PurePosixPath(document.filename).stem[:300]
