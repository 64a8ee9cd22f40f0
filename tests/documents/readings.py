"""How a malformed file ends when it is read as an upload is, and what is wrong with that."""

import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

import psutil
import pytest

from documents import intake, sniffing
from documents.confined import parsing
from documents.structure import Failure, Limits, ParsedDocument
from tests.documents.malformed import CODES, Sample

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_last = threading.local()


@dataclass(frozen=True, slots=True)
class Reading:
    """`code` is `ready` or what the upload or the document would have; times in seconds."""

    name: str
    code: str
    seconds: float = 0.0
    peak_bytes: int = 0
    storable: bool = True
    said: str = ""


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps what is known of the end of each thread's last child."""
    real = parsing._judge

    def judge(ending: Any, limits: Limits) -> ParsedDocument | Failure:
        _last.ending = ending
        return real(ending, limits)

    with monkeypatch.context() as patch:
        patch.setattr(parsing, "_judge", judge)
        yield


def read_all(samples: Iterable[Sample], limits: Limits, *, at_once: int = 2) -> list[Reading]:
    """To be called while `watched`."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda sample: read(sample, limits), samples))


def read(sample: Sample, limits: Limits) -> Reading:
    if not sample.content:
        return Reading(sample.name, "empty_file")
    with NamedTemporaryFile() as file:
        file.write(sample.content)
        file.flush()
        head, name = sample.content[: sniffing.HEAD_BYTES], intake.display_name(sample.filename)
        media_type = sniffing.detect(head, name, file=file)
        if media_type is None:
            return Reading(sample.name, "unsupported_type")
        return _read(sample, Path(file.name), media_type, limits)


def _read(sample: Sample, path: Path, media_type: str, limits: Limits) -> Reading:
    begun, code, storable = time.monotonic(), "ready", True
    try:
        document = parsing.parse(path, media_type, limits=limits)
        words = [document.text, document.title, *(block.label for block in document.blocks)]
        storable = not any(map(_UNSTORABLE.search, words))
    except parsing.ParseFailed as failed:
        code = failed.code.value
    took, ending = time.monotonic() - begun, _last.ending
    said = bytes(ending.stderr[-400:]).decode(errors="replace")
    return Reading(sample.name, code, took, ending.peak_bytes, storable, said)


def faults(readings: Iterable[Reading], limits: Limits) -> list[str]:
    """What must never be. A child's memory counts what it shares with the server."""
    shared = max(child.memory_info().rss for child in psutil.Process().children() if "-I" in child.cmdline())
    most = limits.memory_bytes + shared
    found = []
    for reading in readings:
        if reading.code not in CODES:
            found.append(f"{reading.name}: {reading.code}: {reading.said}")
        if not reading.storable:
            found.append(f"{reading.name}: has a NUL or a lone surrogate")
        if reading.peak_bytes > most:
            found.append(f"{reading.name}: {reading.peak_bytes >> 20} MiB of {most >> 20}")
        if reading.seconds > limits.seconds + 3:  # to be ended and cleared away takes time, too
            found.append(f"{reading.name}: {reading.seconds:.1f} s")
    return found
