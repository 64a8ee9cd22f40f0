"""From a claimed document's file to its passages: parsed in a process of its own, cut, and named."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from time import monotonic

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from documents import chunking, indexing, parsing, states
from documents.indexing import Passage
from documents.models import Document
from documents.structure import Limits, ParsedDocument

Stage = Document.Stage

_LONG = 500_000  # characters; less is cut before anybody could see that it is being cut


class FileLost(Exception):
    """The storage has no such file: somebody removed it there, or a backup came back without it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that was read and cut, and has no vectors yet."""

    document: Document
    parsed: ParsedDocument
    passages: list[Passage]
    title: str


def draft(document: Document) -> Draft | None:
    """None when the document is no longer the caller's. Raises `parsing.ParseFailed` and `FileLost`.

    Begins the document's timings, in milliseconds.
    """
    waited = (timezone.now() - document.not_before).total_seconds()
    document.timings = {"waiting": round(max(0, waited) * 1000, 1)}
    if not states.begin(document):
        return None
    with timed(document, Stage.PARSING):
        parsed = _parse(document)
    if len(parsed.text) > _LONG and not states.advance([document], Stage.CHUNKING):
        return None
    with timed(document, Stage.CHUNKING):
        return _cut(document, parsed)


@contextmanager
def timed(document: Document, stage: Stage) -> Iterator[None]:
    """Notes in the document's timings how long the block took."""
    began = monotonic()
    yield
    document.timings[stage.value] = round((monotonic() - began) * 1000, 1)


def limits() -> Limits:
    return Limits(
        seconds=settings.PARSE_SECONDS,
        memory_bytes=settings.PARSE_MEMORY_BYTES,
        pages=settings.PARSE_MAX_PAGES,
        characters=settings.PARSE_MAX_CHARACTERS,
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


def _cut(document: Document, parsed: ParsedDocument) -> Draft:
    title = _title(document, parsed)
    pieces = chunking.chunk(parsed)
    passages = indexing.analyse(document.tenant_id, parsed.text, pieces, title=title)
    document.progress_total = len(passages)
    return Draft(document, parsed, passages, title)


def _title(document: Document, parsed: ParsedDocument) -> str:
    """What the document calls itself, or else its file's name."""
    return parsed.title[:300].strip() or PurePosixPath(document.filename).stem[:300]
