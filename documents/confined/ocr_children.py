"""The children of `ocr`: started, read within limits, and ended. Nothing that they say is believed unchecked."""

import contextlib
import logging
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from time import monotonic
from typing import IO, Final

from documents.confined import interpreters, ocr_render
from documents.structure import Limits

logger = logging.getLogger(__name__)

TSV_BYTES: Final = 8 << 20  # of one page: a word is a line of about 60


class RenderingFailed(Exception):
    """A page could not be drawn: its process ended, took too long or said nonsense."""


@dataclass(frozen=True, slots=True)
class Bitmap:
    """A page drawn: `grey` has `width * height` bytes, row by row, 255 is white."""

    number: int
    width: int
    height: int
    grey: bytes

    def pgm(self) -> bytes:
        return b"P5\n%d %d\n255\n" % (self.width, self.height) + self.grey


@contextmanager
def drawing(
    path: Path, numbers: Sequence[int], *, limits: Limits, seconds: float
) -> Iterator[Iterator[Bitmap]]:
    """The pages of the PDF at `path` drawn one after the other as they are asked for; raises `RenderingFailed` then.

    `limits.seconds` is how long one page may take to be drawn, `seconds` what all may take of the processor.
    """
    arguments = [str(seconds), str(limits.memory_bytes), *map(str, numbers)]
    with (
        path.open("rb") as source,
        TemporaryDirectory(prefix="drawing-") as folder,
        _started("ocr_render", arguments, source=source, folder=folder) as child,
    ):
        yield _bitmaps(child, numbers, limits)


def recognise(bitmap: Bitmap, arguments: Sequence[str], *, limits: Limits, seconds: float) -> str | None:
    """What Tesseract found on a page, as TSV; None when it failed or took longer than `seconds`.

    `arguments`: the program, the folder of its models or nothing, the languages.
    """
    # From a file and not through a pipe, so that nobody has to write while they read. It has no name.
    with TemporaryFile() as image, TemporaryDirectory(prefix="recognition-") as folder:
        image.write(bitmap.pgm())
        image.seek(0)
        own = [str(seconds), str(limits.memory_bytes), *arguments]
        with _started("ocr_launch", own, source=image, folder=folder) as child:
            try:
                answer = _read(child, TSV_BYTES, monotonic() + seconds)
            except RenderingFailed as error:
                logger.info("page %d could not be recognised: %s", bitmap.number, error)
                return None
            if child.wait() != 0:
                logger.info("page %d could not be recognised: exit %d", bitmap.number, child.returncode)
                return None
    return answer.decode(errors="replace")


@contextmanager
def _started(
    module: str, arguments: Sequence[str], *, source: IO[bytes], folder: str
) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        interpreters.command(module, *arguments),
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=interpreters.environment(),
        start_new_session=True,
    )
    with child:
        try:
            yield child
        finally:
            # It leads its own session, so that nobody else is in the group. It may be gone already.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)


def _bitmaps(child: subprocess.Popen[bytes], numbers: Sequence[int], limits: Limits) -> Iterator[Bitmap]:
    """The child may have been taken over by the file it drew: each number is checked against what was asked for."""
    allowed = iter(numbers)
    while True:
        deadline = monotonic() + limits.seconds
        head = _read(child, ocr_render.HEAD.size, deadline, exactly=True)
        if not head:
            if child.wait() == 0:
                return
            raise RenderingFailed(f"exit {child.returncode}")
        number, width, height = ocr_render.HEAD.unpack(head)
        if number not in allowed or not 0 < width * height <= ocr_render.MAX_PIXELS:
            raise RenderingFailed("not a page that was asked for")
        grey = _read(child, width * height, deadline, exactly=True)
        if not grey:
            raise RenderingFailed("the page is cut off")
        yield Bitmap(number, width, height, grey)


def _read(child: subprocess.Popen[bytes], most: int, deadline: float, *, exactly: bool = False) -> bytes:
    """All that comes until the child's end, or `exactly` so many bytes, or nothing at the end."""
    assert child.stdout is not None  # noqa: S101  it was asked for
    found = bytearray()
    pipe = child.stdout.fileno()
    while len(found) < most or not exactly:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - monotonic()))
        if not ready:
            raise RenderingFailed("it took too long")
        piece = os.read(pipe, min(1 << 20, most - len(found)) if exactly else 1 << 16)
        if not piece:
            if exactly and found:
                raise RenderingFailed("the answer is cut off")
            break
        found += piece
        if len(found) > most:
            raise RenderingFailed("the answer is too long")
    return bytes(found)
