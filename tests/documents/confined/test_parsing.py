import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from documents.confined import parsing, parsing_frame, parsing_link, sandbox
from documents.confined.parsing import ParseFailed, parse
from documents.structure import Block, Failure, Kind, Limits, ParsedDocument
from tests.documents import pdfs
from tests.documents.conftest import ROOT, Hostile, alive, children, servers, wait_for


def failure(path: Path, media_type: str = "text/plain", **limits: float) -> ParseFailed:
    with pytest.raises(ParseFailed) as caught:
        parse(path, media_type, limits=Limits(**limits))  # type: ignore[arg-type]  # whole numbers where they are wanted
    return caught.value


def test_each_supported_type_comes_back_as_its_parser_made_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("# Größe 😀\n\ntext")
    document = parse(path, "text/markdown", limits=Limits())
    assert document.title == "Größe 😀"
    assert document.blocks == [Block(0, 9, Kind.HEADING, 1, "Größe 😀"), Block(11, 15)]
    path.write_bytes(pdfs.pdf(pdfs.Page(pdfs.flowing("a")), pdfs.Page(pdfs.flowing("b")), title="Both"))
    assert parse(path, "application/pdf", limits=Limits()) == ParsedDocument(
        "a\n\nb", [Block(0, 1), Block(3, 4)], [0, 3], "Both"
    )


def test_a_verdict_carries_its_code_and_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(pdfs.pdf(*[pdfs.Page(pdfs.flowing("a"))] * 3))
    failed = failure(path, "application/pdf", pages=2)
    assert (failed.code, failed.text) == (
        Failure.TOO_MANY_PAGES,
        "The file has more pages than the 2 allowed.",
    )
    path.write_bytes(b"%PDF-1.7 broken")
    assert failure(path, "application/pdf").code is Failure.CORRUPT
    assert set(parsing.SENTENCES) == set(Failure)


def test_a_small_file_that_swells_is_stopped_at_the_memory_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(pdfs.pdf(pdfs.Page(operators=b"q Q " * (64 << 18))))
    assert path.stat().st_size < 1 << 20
    assert failure(path, "application/pdf", memory_bytes=100 << 20).code is Failure.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("while True: pass", Failure.TIMED_OUT),
        ("time.sleep(60)", Failure.TIMED_OUT),
        # Not waited for, and ended as the kernel ends a process for want of memory.
        ("os.close(1); os.close(2); time.sleep(60)", Failure.OUT_OF_MEMORY),
        ("kept = [bytearray(1 << 20) for _ in range(1 << 20)]", Failure.OUT_OF_MEMORY),
        ("os.kill(os.getpid(), 11)", Failure.PARSER_CRASHED),
        ("os.kill(os.getpid(), 9)", Failure.OUT_OF_MEMORY),
        ("os.abort()", Failure.OUT_OF_MEMORY),
        ("raise ValueError('a mistake of ours')", Failure.PARSER_CRASHED),
        ("os._exit(0)", Failure.PARSER_CRASHED),
        ("while True: os.write(1, bytes(1 << 16))", Failure.TOO_LARGE_TEXT),
        ("os.write(2, bytes(1 << 22)); os._exit(1)", Failure.PARSER_CRASHED),
        ("return ParsedDocument(text='x', blocks=[Block(0, 9)])", Failure.PARSER_CRASHED),
    ],
)
def test_a_hostile_child_ends_in_a_code_and_leaves_nothing(
    hostile: Hostile, upload: Path, body: str, code: Failure
) -> None:
    hostile(body)
    begun = time.monotonic()
    caught = failure(
        upload, seconds=1.0 if code is Failure.TIMED_OUT else 20.0, memory_bytes=200 << 20, characters=10_000
    )
    assert (caught.code, time.monotonic() - begun < 10) == (code, True)
    assert children() == servers()


@pytest.mark.skipif(sandbox.landlock_version() < 6, reason="the kernel is older than Linux 6.12")
@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/hostname').read()",
        "open('written', 'w')",
        "os.mkdir('made')",
        "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
        "os.execv('/bin/true', ['true'])",
        "socket.create_connection(('127.0.0.1', 9), 1)",
        "socket.socket(socket.AF_UNIX)",
        "os.kill(os.getppid(), 0)",
        "os.fork()",
    ],
)
def test_a_hostile_child_reaches_nothing_outside(hostile: Hostile, upload: Path, attempt: str) -> None:
    hostile(f"try:\n    {attempt}\nexcept PermissionError:\n    return ParsedDocument(text='refused')")
    assert parse(upload, "text/plain", limits=Limits()).text == "refused"


@pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="the numbers are x86-64's"
)
@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        (29, "0, 4096, 0o1600"),  # shmget: memory that outlives the child
        (62, "-1, 0"),  # kill everybody
        (68, "0, 0o1600"),  # msgget
        (72, "0, 8, os.getppid()"),  # fcntl(F_SETOWN)
        (72, "0, 10, 9"),  # fcntl(F_SETSIG, SIGKILL)
        (141, "0, os.getppid(), 19"),  # setpriority
        (203, "os.getppid(), 8, mask"),  # sched_setaffinity
        (234, "os.getppid(), os.getppid(), 0"),  # tgkill
        (248, "b'user', b'name', b'value', 5, -3"),  # add_key
        (272, "0x10000000"),  # unshare(CLONE_NEWUSER)
        (302, "os.getppid(), 0, 0, mask"),  # prlimit64, which with RLIMIT_CPU ends whom it is done to
        (311, "os.getppid(), 0, 0, 0, 0, 0"),  # process_vm_writev
        (434, "os.getppid(), 0"),  # pidfd_open
    ],
)
def test_a_hostile_child_cannot_touch_its_neighbours(
    hostile: Hostile, upload: Path, number: int, arguments: str
) -> None:
    """By seccomp alone: Landlock refuses signals from Linux 6.12 on, and the rest never."""
    hostile(
        "import ctypes, errno; mask = ctypes.create_string_buffer(64); libc = ctypes.CDLL(None, use_errno=True)\n"
        f"done = libc.syscall({number}, {arguments})\n"
        "return ParsedDocument(text='refused' if done == -1 and ctypes.get_errno() == errno.EPERM else 'done')"
    )
    assert parse(upload, "text/plain", limits=Limits()).text == "refused"


def test_the_child_knows_no_secret(hostile: Hostile, upload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    hostile("return ParsedDocument(text=repr(dict(os.environ)))")
    text = parse(upload, "text/plain", limits=Limits()).text
    assert "DATABASE_URL" not in text
    assert "secret" not in text


def test_nothing_survives_a_worker_that_is_killed(hostile: Hostile, upload: Path) -> None:
    hostile("time.sleep(60)")
    server = parsing_link.command()
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from pathlib import Path;"
        " from documents.confined import parsing, parsing_link;"
        f" from documents.structure import Limits; import os;"
        f" parsing_link.command = lambda: [*{server[:-1]!r}, str(os.getpid())];"
        f" parsing.parse(Path({str(upload)!r}), 'text/plain', limits=Limits())"
    )
    worker = psutil.Popen([sys.executable, "-c", code])
    wait_for(lambda: len(worker.children(recursive=True)) == 2)
    family = worker.children(recursive=True)
    os.kill(family[0].pid, signal.SIGSTOP)  # a server that hangs sees nothing of its worker's end
    worker.kill()
    worker.wait()
    wait_for(lambda: not any(alive(process.pid) for process in family))


def test_the_log_shows_the_end_of_what_a_child_said_and_no_control_characters(
    hostile: Hostile, upload: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hostile("os.write(2, bytes(3000) + b'x' * 1000 + b'the reason'); os._exit(1)")
    with caplog.at_level("INFO"):
        failure(upload)
    line = caplog.messages[-1]
    assert line.endswith("x" + "the reason")
    assert "\\x00" not in line
    assert "\0" not in line
    assert len(line) < 600


def test_the_child_loads_no_django() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import documents.confined.parsing_server, documents.formats.pdf, documents.formats.markdown; print('django' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-I", "-c", code, ROOT], text=True).strip() == "False"


def whole() -> bytes:
    document = ParsedDocument(
        "# A\n\nb\n\nc", [Block(0, 3, Kind.HEADING, 1, "A"), Block(5, 6), Block(8, 9)], [0, 8], "T"
    )
    frame = parsing_frame.pack(document)
    assert parsing_frame.unpack(frame, Limits()) == document
    return frame


def test_a_frame_that_is_cut_or_changed_is_refused_or_consistent() -> None:
    frame = whole()
    for length in range(len(frame)):
        with pytest.raises(parsing_frame.MalformedFrameError):
            parsing_frame.unpack(frame[:length], Limits())
    for position in range(len(frame)):
        for bit in range(8):
            changed = bytearray(frame)
            changed[position] ^= 1 << bit
            try:
                document = parsing_frame.unpack(bytes(changed), Limits())
            except parsing_frame.MalformedFrameError:
                continue
            if isinstance(document, ParsedDocument):
                assert all(
                    a.end <= b.start for a, b in zip(document.blocks, document.blocks[1:], strict=False)
                )
                assert document.blocks[-1].end <= len(document.text)


@pytest.mark.parametrize(
    "document",
    [
        ParsedDocument("abc", [Block(0, 4)]),
        ParsedDocument("abc", [Block(1, 1)]),
        ParsedDocument("abc", [Block(1, 2), Block(0, 1)]),
        ParsedDocument("abc", [Block(0, 2)], [0, 1]),
        ParsedDocument("abc", [], [1]),
        ParsedDocument("abc", [], [0, 2, 2]),
        ParsedDocument("abc", [], [0, 4]),
        ParsedDocument("a\0c"),
        ParsedDocument("abc", title="x" * 301),
        ParsedDocument("abc", [Block(0, 1, Kind.HEADING, 1, "")]),
        ParsedDocument("abc", [Block(0, 1, Kind.PARAGRAPH, 0, "label")]),
        ParsedDocument("abcdef"),
        ParsedDocument("abc", page_starts=[0, 1, 2, 3]),
    ],
)
def test_an_inconsistent_document_is_refused(document: ParsedDocument) -> None:
    with pytest.raises(parsing_frame.MalformedFrameError):
        parsing_frame.unpack(parsing_frame.pack(document), Limits(pages=3, characters=5))
