import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from documents.confined import parsing_link, parsing_server
from documents.confined.parsing import ParseFailed, parse
from documents.formats import PARSERS
from documents.structure import Failure, Limits
from ragsite.lib.errors import Unavailable
from tests.documents.conftest import ROOT, Hostile, children, servers, stop_server, wait_for


def read(path: Path, **limits: float) -> str:
    return parse(path, "text/plain", limits=Limits(**limits)).text  # type: ignore[arg-type]  # whole where it is wanted


def server() -> psutil.Process:
    (pid,) = servers()
    return psutil.Process(pid)


@pytest.mark.parametrize("media_type", PARSERS)
def test_an_order_arrives_as_it_was_given(media_type: str) -> None:
    name, *values = parsing_server.ORDER.unpack(parsing_server.order(media_type, Limits(pages=3)))
    assert (name.rstrip(b"\0").decode(), Limits(*values)) == (media_type, Limits(pages=3))


def test_files_share_a_server(upload: Path) -> None:
    stop_server()
    read(upload)
    first = server()
    read(upload)
    assert server() == first


def test_a_file_meets_nothing_of_the_one_before(hostile: Hostile, upload: Path) -> None:
    hostile("import hostile; hostile.seen.append(1); return ParsedDocument(text=str(len(hostile.seen)))")
    assert [read(upload) for _ in range(3)] == ["1", "1", "1"]


def test_a_child_has_its_three_streams_and_nothing_of_another_s(hostile: Hostile, upload: Path) -> None:
    hostile(
        "held = []\n"
        "for number in range(3, 64):\n"
        "    try: os.fstat(number)\n"
        "    except OSError: continue\n"
        "    held.append(number)\n"
        "time.sleep(0.3)\n"
        "return ParsedDocument(text=repr(held))"
    )
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, [upload] * 4)) == {"[]"}


def test_the_server_keeps_nothing_of_the_files_it_had_read(upload: Path) -> None:
    read(upload)
    held, mapped = server().num_fds(), server().memory_info().rss
    for _ in range(20):
        read(upload)
    wait_for(lambda: server().num_fds() <= held)  # it closes a file's after it has answered
    assert server().memory_info().rss - mapped < 1 << 20
    assert children() == servers()


def test_threads_get_each_their_own_answer(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(12)]
    for path in paths:
        path.write_text(f"This is {path.name}.")
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(read, paths)) == [f"This is {path.name}." for path in paths]


def test_the_server_outlives_the_thread_that_needed_it_first(upload: Path) -> None:
    stop_server()
    thread = threading.Thread(target=read, args=(upload,))
    thread.start()
    thread.join()
    first = server()
    time.sleep(0.2)
    read(upload)
    assert server() == first


def test_a_server_that_was_killed_is_started_again(upload: Path) -> None:
    read(upload)
    server().kill()
    assert read(upload) == upload.read_text()


def test_a_file_whose_server_dies_under_it_is_read_once_more(hostile: Hostile, upload: Path) -> None:
    hostile("time.sleep(1)")
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(read, upload)
        wait_for(lambda: len(children()) == 2)
        server().kill()
        assert begun.result() == "unharmed"
    assert children() == servers()


def test_a_server_that_hangs_is_ended_and_started_again(
    upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(upload)
    hung = server()
    hung.suspend()
    monkeypatch.setattr(parsing_link, "START_SECONDS", 5.0)  # in which a server loads on a busy machine too
    assert read(upload) == upload.read_text()
    wait_for(lambda: not hung.is_running())


def test_a_file_that_runs_out_of_time_is_not_read_again_when_the_server_hangs_too(
    hostile: Hostile, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile("time.sleep(60)")
    monkeypatch.setattr(parsing_link, "END_SECONDS", 0.5)
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(read, upload, seconds=1.0)
        wait_for(lambda: len(children()) == 2)
        server().suspend()
        with pytest.raises(ParseFailed) as caught:
            begun.result()
    assert caught.value.code is Failure.TIMED_OUT
    wait_for(lambda: not children())


def test_a_server_that_cannot_be_kept_is_not_the_file_s_fault(
    upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing_link, "command", lambda: [sys.executable, "-c", "0"])
    stop_server()
    with pytest.raises(Unavailable):
        read(upload)


FORKING = """
import os, sys
sys.path.insert(0, {root!r})
import pathlib, psutil
from documents.confined.parsing import parse
from documents.structure import Limits
def read():
    assert parse(pathlib.Path({path!r}), "text/plain", limits=Limits()).text
    return [child.pid for child in psutil.Process().children() if "-I" in child.cmdline()]
(parents,) = read()
pid = os.fork()
if pid == 0:
    (own,) = read()
    os._exit(0 if own != parents else 1)
assert os.waitpid(pid, 0)[1] == 0
assert read() == [parents]
"""


def test_a_fork_s_child_has_a_server_of_its_own(upload: Path) -> None:
    script = FORKING.format(root=ROOT, path=str(upload))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
