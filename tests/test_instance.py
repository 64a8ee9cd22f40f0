"""One running site a data directory, found and stopped through its pid file."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ragsite import instance, processes

HOLDER = """
import signal, sys, time
from pathlib import Path
from ragsite import instance
def leave(*_):
    tell("Waiting for the kettle")
    time.sleep(0.5)
    raise SystemExit
signal.signal(signal.SIGTERM, leave)
with instance.hold(Path(sys.argv[1])) as tell:
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds tmp_path."""
    argv = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_one_is_refused_and_told_which_is_the_first(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(instance.AlreadyRunningError, match=f"pid {holder.pid}"), instance.hold(tmp_path):
        pass


def test_stop_ends_it_and_returns_when_it_is_gone(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    said: list[str] = []
    assert instance.stop(tmp_path, seconds=10, say=said.append) == holder.pid
    assert said == ["Waiting for the kettle"]
    assert processes.wait_until(lambda: holder.poll() is not None, seconds=5)
    assert instance.stop(tmp_path, seconds=10, say=print) is None


def test_where_nothing_ever_ran_there_is_nothing_to_stop(tmp_path: Path) -> None:
    assert instance.stop(tmp_path / "never", seconds=1, say=print) is None


def test_a_killed_one_leaves_no_lock_and_its_number_is_not_signalled(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    holder.kill()
    holder.wait()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        facts = {"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time()}
        (tmp_path / "up.pid").write_text(json.dumps(facts))
        assert instance.stop(tmp_path, seconds=1, say=print) is None
        assert stranger.poll() is None
        stranger.kill()
    with instance.hold(tmp_path):
        pass


def test_a_pid_that_began_at_another_time_is_not_signalled(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    facts = json.loads((tmp_path / "up.pid").read_text())
    (tmp_path / "up.pid").write_text(json.dumps(facts | {"started": facts["started"] - 1000}))
    with pytest.raises(TimeoutError, match="still there"):
        instance.stop(tmp_path, seconds=0.3, say=print)
    assert holder.poll() is None


def test_one_that_does_not_heed_is_reported(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=str(holder.pid)):
        instance.stop(tmp_path, seconds=0.3, say=print)
    assert time.monotonic() - began < 2


def test_a_command_without_a_running_site_says_so_in_a_sentence(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)}
    argv = [sys.executable, "manage.py", "prune", "--dry-run"]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("Postgres cannot be reached; `make up` starts")
