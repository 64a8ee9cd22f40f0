"""Reads an uploaded file in a process of its own, which may hang, swell or crash without harm to the worker.

`subprocess` and not `multiprocessing`: a Celery prefork worker is daemonic and may not have multiprocessing children.
"""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Final

from documents import parsing_frame
from documents.formats import PARSERS
from documents.structure import Failure, Limits, ParsedDocument

logger = logging.getLogger(__name__)

STDERR_BYTES: Final = 4096
READ_BYTES: Final = 1 << 16
LOGGED: Final = 400  # characters of it that a log line shows
SENTENCES: Final = {
    Failure.ENCRYPTED: "The file is protected with a password. Upload a copy without one.",
    Failure.CORRUPT: "The file is damaged, or is not of the type it seems to be.",
    Failure.NO_TEXT: "The file holds no text.",
    Failure.NEEDS_OCR: "The file holds only images of pages, which could not be read. Upload a copy that went through text recognition (OCR).",
    Failure.TOO_MANY_PAGES: "The file has more pages than the {limits.pages:,} allowed.",
    Failure.TOO_LARGE_TEXT: "The file holds more text than the {limits.characters:,} characters allowed.",
    Failure.TIMED_OUT: "Reading the file took longer than the {limits.seconds:g} seconds allowed.",
    Failure.OUT_OF_MEMORY: "Reading the file took more memory than allowed.",
    Failure.PARSER_CRASHED: "The file could not be read: it made its reader fail.",
}
# -I keeps the environment and the working directory out of the import path, which then is given explicitly.
_START: Final = "import sys; sys.path.insert(0, sys.argv[1]); from documents.parsing_child import main; main(sys.argv[2:])"
_ROOT: Final = str(Path(__file__).resolve().parent.parent)


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


def parse(path: Path, media_type: str, *, limits: Limits) -> ParsedDocument:
    """The document in the file at `path`, which is of `media_type` (see `documents.sniffing`).

    Raises `ParseFailed` for whatever the file is guilty of, `KeyError` for a media type without a parser,
    `OSError` when the file cannot be opened.
    """
    if media_type not in PARSERS:
        raise KeyError(media_type)
    with path.open("rb") as source, tempfile.TemporaryDirectory(prefix="parsing-") as empty_folder:
        ending = _run(command(media_type, limits), source.fileno(), empty_folder, limits=limits)
    result = _judge(ending, limits)
    if isinstance(result, Failure):
        logger.info("parsing failed: %s, exit %d: %s", result, ending.returncode, _last_words(ending.stderr))
        raise ParseFailed(result, limits)
    return result


def _last_words(stderr: bytes | bytearray) -> str:
    """The end of what a child said, where the reason stands, and only what a log can show."""
    text = stderr.decode(errors="ignore")
    return "".join(character for character in text if character.isprintable() or character == "\n")[-LOGGED:]


def command(media_type: str, limits: Limits) -> list[str]:
    """How the child is started; nothing in it comes from the person who uploaded."""
    settings = [str(value) for value in astuple(limits)]
    return [sys.executable, "-I", "-X", "utf8", "-c", _START, _ROOT, media_type, str(os.getpid()), *settings]


def _run(arguments: Sequence[str], source: int, folder: str, *, limits: Limits) -> _Ending:
    """Start the child, read until it ends or breaks a limit, and leave nothing of it behind."""
    child = subprocess.Popen(
        arguments,
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=_environment(),
        start_new_session=True,
    )
    ending = _Ending()
    with child:
        try:
            _read(child, ending, limits)
        finally:
            _kill_group(child.pid)
            ending.returncode = child.wait()
    return ending


def _environment() -> dict[str, str]:
    """Nothing but what some interpreters need to find their own libraries: no secret, no address of a database."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


def _read(child: subprocess.Popen[bytes], ending: _Ending, limits: Limits) -> None:
    """Collect both pipes until they close; sets `ending.stopped` when time or size runs out first."""
    deadline = time.monotonic() + limits.seconds
    most = parsing_frame.largest_frame(limits)
    with selectors.DefaultSelector() as selector:
        for pipe, target in ((child.stdout, ending.frame), (child.stderr, ending.stderr)):
            if pipe is not None:
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


def _kill_group(pid: int) -> None:
    """End the child and whatever it started. It leads its own session, so nobody else is in the group."""
    # Gone already; macOS answers EPERM for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


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
    # Native libraries abort without a word when an allocation fails; the kernel kills. A broken heap aborts with a message.
    aborted = ending.returncode == -signal.SIGABRT and not ending.stderr
    if aborted or ending.returncode == -signal.SIGKILL or b"MemoryError" in ending.stderr:
        return Failure.OUT_OF_MEMORY
    return Failure.PARSER_CRASHED
