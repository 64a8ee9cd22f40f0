"""A parsing server whose children run a hostile parser, and how to see which processes there are."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from documents.confined import parsing, parsing_link

ROOT = str(Path(parsing.__file__).resolve().parents[2])
# A server whose children take on every restriction of the real ones and then run a hostile parser instead of ours.
HOSTILE = """
import sys, types
sys.path.insert(0, {root!r})
from documents import formats
from documents.confined import parsing_server
module = types.ModuleType("hostile")
module.seen = []
def parse(path, limits):
    import os, socket, time
    from documents.structure import Block, ParsedDocument
{body}
    return ParsedDocument(text="unharmed")
module.parse = parse
sys.modules["hostile"] = module
formats.PARSERS["text/plain"] = "hostile"
parsing_server.main(sys.argv[1:])
"""

PATCHED = """
import sys
sys.path.insert(0, {root!r})
from documents.confined import parsing_server, sandbox
{lines}
parsing_server.main(sys.argv[1:])
"""

Script = Callable[[str], None]
Hostile = Script
Patched = Script


@pytest.fixture
def hostile(script: Script) -> Hostile:
    return lambda body: script(
        HOSTILE.format(root=ROOT, body="\n".join("    " + line for line in body.splitlines()))
    )


@pytest.fixture
def patched(script: Script) -> Patched:
    """A real server after some lines of code, which may take a guard away."""
    return lambda lines: script(PATCHED.format(root=ROOT, lines=lines))


@pytest.fixture
def script() -> Iterator[Script]:
    """Has servers run this code until the test is over."""
    with pytest.MonkeyPatch.context() as patch:
        real = parsing_link.command

        def install(code: str) -> None:
            patch.setattr(parsing_link, "command", lambda: [sys.executable, "-I", "-c", code, real()[-1]])
            stop_server()

        yield install
    stop_server()


def stop_server() -> None:
    """The next file has a new one."""
    link = parsing_link._links.get(None)
    link.drop(link.server())


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.write_text("One.\n\nTwo.")
    return path


def children() -> set[int]:
    """The processes below this one that are not gone: running, or waiting to be reaped."""
    return {child.pid for child in psutil.Process().children(recursive=True) if "-I" in command_line(child)}


def servers() -> set[int]:
    return {child.pid for child in psutil.Process().children() if "-I" in command_line(child)}


def command_line(process: psutil.Process) -> list[str]:
    """Empty once it is gone."""
    try:
        words: list[str] = process.cmdline()
    except psutil.NoSuchProcess:
        return []
    return words


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False
