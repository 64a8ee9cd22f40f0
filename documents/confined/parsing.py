"""Reads an uploaded file in a process of its own, which may hang, swell or crash without harm to the worker."""

import logging
import os
import selectors
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from documents.confined import parsing_frame, parsing_link
from documents.formats import PARSERS
from documents.structure import Failure, Limits, ParsedDocument
from ragsite.lib.errors import Unavailable

logger = logging.getLogger(__name__)

STDERR_BYTES: Final = 4096
TRIES: Final = 2  # a server that is lost twice with the same file is lost by it
READ_BYTES: Final = 1 << 16
LOGGED: Final = 400  # characters of it that a log line shows
SENTENCES: Final = {
    Failure.ENCRYPTED: "The file is protected with a password. Upload a copy without one.",
    Failure.CORRUPT: "The file is damaged, or is not of the type it seems to be.",
    Failure.NO_TEXT: "The file holds no text.",
    Failure.NEEDS_OCR: "The file holds only images of pages, which could not be read. "
    "Upload a copy that went through text recognition (OCR).",
    Failure.TOO_MANY_PAGES: "The file has more pages than the {limits.pages:,} allowed.",
    Failure.TOO_LARGE_TEXT: "The file holds more text than the {limits.characters:,} characters allowed.",
    Failure.TOO_LARGE_UNPACKED: "The file unpacks to more than the {limits.decompressed_bytes:,} bytes, "
    "or to more parts, than allowed.",
    Failure.TOO_DEEP: "The file's parts are nested deeper than allowed.",
    Failure.UNSAFE_XML: "The file declares XML entities, which no office program writes and which only serve attacks.",
    Failure.TIMED_OUT: "Reading the file took longer than the {limits.seconds:g} seconds allowed.",
    Failure.OUT_OF_MEMORY: "Reading the file took more memory than allowed.",
    Failure.PARSER_CRASHED: "The file could not be read: it made its reader fail.",
}


class ParseFailed(Exception):
    """A file that cannot be used: `code` for programs, `text` for people."""

    def __init__(self, code: Failure, limits: Limits) -> None:
        self.code = code
        self.text = SENTENCES[code].format(limits=limits)
        super().__init__(f"{code}: {self.text}")


@dataclass(slots=True)
class _Ending:
    """What is known of a child that is gone: its answer, what it said, and how it ended."""

    frame: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    stopped: Failure | None = None
    returncode: int = 0
    peak_bytes: int = 0


def parse(path: Path, media_type: str, *, limits: Limits) -> ParsedDocument:
    """The document in the file at `path`, which is of `media_type` (see `documents.sniffing`).

    Raises `ParseFailed` for whatever the file is guilty of, `KeyError` for a media type without a parser,
    `OSError` when the file cannot be opened, `Unavailable` when the process that starts readers cannot be kept up.
    """
    if media_type not in PARSERS:
        raise KeyError(media_type)
    with path.open("rb") as source:
        ending = _run(source.fileno(), media_type, limits)
    result = _judge(ending, limits)
    if isinstance(result, Failure):
        logger.info(
            "parsing failed: %s, exit %d, %d MiB: %s",
            result,
            ending.returncode,
            ending.peak_bytes >> 20,
            _last_words(ending.stderr),
        )
        raise ParseFailed(result, limits)
    return result


def _last_words(stderr: bytes | bytearray) -> str:
    """The end of what a child said, where the reason stands, and only what a log can show."""
    text = stderr.decode(errors="ignore")
    return "".join(character for character in text if character.isprintable() or character == "\n")[-LOGGED:]


def _run(source: int, media_type: str, limits: Limits) -> _Ending:
    """Have the file read until the child ends or breaks a limit, and leave nothing of it behind."""
    for _ in range(TRIES):
        ending = _Ending()
        try:
            with parsing_link.reading(source, media_type, limits) as child:
                _read(child, ending, limits)
                ending.returncode, ending.peak_bytes = child.end()
        except parsing_link.ServerLost as error:
            logger.warning("the parsing server was lost: %s", error)
            if ending.stopped is None:
                continue
        return ending
    # No child can end its server: this machine is out of something, or too slow, and the file is not to blame.
    raise Unavailable("Files cannot be read at the moment.")


def _read(child: parsing_link.Child, ending: _Ending, limits: Limits) -> None:
    """Collect both pipes until they close; sets `ending.stopped` when time or size runs out first."""
    deadline = time.monotonic() + limits.seconds
    most = parsing_frame.largest_frame(limits)
    with selectors.DefaultSelector() as selector:
        for pipe, target in ((child.stdout, ending.frame), (child.stderr, ending.stderr)):
            selector.register(pipe, selectors.EVENT_READ, target)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            for key, _ in ready:
                chunk = os.read(key.fd, READ_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.data is ending.frame:
                    ending.frame += chunk
                else:
                    ending.stderr += chunk[: STDERR_BYTES - len(ending.stderr)]
            if time.monotonic() >= deadline:
                ending.stopped = Failure.TIMED_OUT
                return
            if len(ending.frame) > most:
                ending.stopped = Failure.TOO_LARGE_TEXT
                return


def _judge(ending: _Ending, limits: Limits) -> ParsedDocument | Failure:
    """A whole answer counts however the child ended after giving it; otherwise its end tells the reason."""
    if ending.stopped is not None:
        return ending.stopped
    try:
        return parsing_frame.unpack(bytes(ending.frame), limits)
    except parsing_frame.MalformedFrameError as error:
        logger.info("no whole answer: %s", error)
    if ending.returncode == -signal.SIGXCPU:
        return Failure.TIMED_OUT
    # Native libraries abort without a word when an allocation fails; the kernel kills. A broken heap says so first.
    aborted = ending.returncode == -signal.SIGABRT and not ending.stderr
    if aborted or ending.returncode == -signal.SIGKILL or b"MemoryError" in ending.stderr:
        return Failure.OUT_OF_MEMORY
    return Failure.PARSER_CRASHED
