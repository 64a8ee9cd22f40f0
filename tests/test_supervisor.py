"""The supervisor, with small children in place of servers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ragsite import processes
from ragsite.supervisor import Service, Supervisor, SupervisorError

# Starts a child of its own, writes both pids, and waits. STUBBORN children ignore SIGTERM.
PARENT_AND_CHILD = """
import os, signal, subprocess, sys, time
if sys.argv[2] == "STUBBORN":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}\\n")
time.sleep(60)
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    one = Supervisor(logs=tmp_path / "logs", say=said.append)
    yield one
    one.stop()


def make_service(
    name: str, code: str, *arguments: str, grace: float = 5.0, underlies: bool = False
) -> Service:
    argv = [sys.executable, "-S", "-c", code, *arguments]
    return Service(name=name, argv=argv, grace=grace, underlies=underlies)


def pids_in(path: Path) -> list[int]:
    assert processes.wait_until(lambda: path.exists() and path.read_text().endswith("\n"), seconds=10)
    return [int(word) for word in path.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def are_gone(pids: list[int], seconds: float = 10) -> bool:
    return processes.wait_until(lambda: not any(map(is_running, pids)), seconds=seconds)


def tick_until(supervisor: Supervisor, path: Path, seconds: float = 10) -> bool:
    def ticked() -> bool:
        supervisor.tick()
        return path.exists() and path.read_text().endswith("\n")

    return processes.wait_until(ticked, seconds=seconds)


def test_a_killed_child_is_back_within_a_second_and_its_own_children_are_gone(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    facts = tmp_path / "pids"
    supervisor.start(make_service("victim", PARENT_AND_CHILD, str(facts), "PLAIN"))
    first = pids_in(facts)
    facts.unlink()
    os.kill(first[0], signal.SIGKILL)
    killed = time.monotonic()
    assert tick_until(supervisor, facts)
    assert time.monotonic() - killed < 1.5
    assert are_gone(first)
    assert not set(first) & set(pids_in(facts))
    assert "victim ended (exit -9)" in said[0]


def test_a_child_that_keeps_failing_is_started_less_and_less_often(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start(make_service("failing", "raise SystemExit(3)"))
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        supervisor.tick()
        time.sleep(0.01)
    assert [line.split("again in ")[1].split(" s")[0] for line in said] == ["0.5", "1.0", "2.0"]


def test_a_start_that_cannot_be_prepared_is_tried_again(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    starts = iter([None, RuntimeError("not yet"), None, None])

    def prepare() -> None:
        obstacle = next(starts)
        if obstacle:
            raise obstacle

    mark = tmp_path / "mark"
    code = "import os, sys, time; m = sys.argv[1]; open(m, 'a').write('x\\n'); os.path.getsize(m) > 2 and time.sleep(60)"
    argv = [sys.executable, "-S", "-c", code, str(mark)]
    supervisor.start(Service(name="slow", argv=argv, prepare=prepare))

    def started_twice() -> bool:
        supervisor.tick()
        return mark.exists() and mark.read_text() == "x\nx\n"

    assert processes.wait_until(started_twice, seconds=10)
    assert any("cannot start: not yet" in line for line in said)


# Says on SIGTERM that it was asked to stop, and ends once everyone named with it has said so.
SAYS_AND_WAITS = """
import os, signal, sys, time
folder, name, *others = sys.argv[1:]
def stop(*_):
    open(os.path.join(folder, "order"), "a").write(name + " ")
    while not all(other in open(os.path.join(folder, "order")).read() for other in others):
        time.sleep(0.01)
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
open(os.path.join(folder, name), "w").write("\\n")
time.sleep(60)
"""


def test_what_underlies_the_others_is_stopped_after_them_and_they_together(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    waits_for = {"ground": [], "web": ["worker"], "worker": ["web"]}
    for name, others in waits_for.items():
        arguments = [str(tmp_path), name, *others]
        supervisor.start(make_service(name, SAYS_AND_WAITS, *arguments, grace=30, underlies=name == "ground"))
        assert tick_until(supervisor, tmp_path / name)
    supervisor.stop()
    *first, last = (tmp_path / "order").read_text().split()
    assert (set(first), last) == ({"web", "worker"}, "ground")
    assert "Waiting for web, worker" in said
    assert not any(line.startswith("Killing") for line in said)


def test_a_child_that_does_not_heed_is_killed_with_its_group(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    facts = tmp_path / "pids"
    supervisor.start(make_service("stubborn", PARENT_AND_CHILD, str(facts), "STUBBORN", grace=0.3))
    pids = pids_in(facts)
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 3
    assert said == ["Waiting for stubborn", "Killing stubborn"]
    assert are_gone(pids, seconds=1)


def test_a_process_that_it_did_not_start_is_left_alone(supervisor: Supervisor) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as bystander:
        supervisor.start(make_service("child", "import time; time.sleep(60)"))
        supervisor.stop()
        assert bystander.poll() is None
        bystander.kill()


def test_a_death_at_the_start_is_told_with_the_end_of_the_log(supervisor: Supervisor) -> None:
    supervisor.start(make_service("broken", "raise SystemExit('no such table')"))
    with pytest.raises(SupervisorError, match=r"(?s)broken ended while starting.*no such table"):
        supervisor.wait(lambda: False, name="broken", seconds=10)


def test_what_is_never_ready_is_told_too(supervisor: Supervisor) -> None:
    supervisor.start(make_service("mute", "import time; time.sleep(60)"))
    with pytest.raises(SupervisorError, match="mute was not ready within 0 s"):
        supervisor.wait(lambda: False, name="mute", seconds=0.2)


def test_a_large_log_is_put_aside(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragsite.supervisor.LOG_BYTES", 10)
    supervisor.log("noisy").write_text("old news, and long")
    supervisor.start(make_service("noisy", "import time; print('new', flush=True); time.sleep(60)"))
    assert processes.wait_until(lambda: supervisor.log("noisy").read_text() == "new\n", seconds=10)
    assert supervisor.log("noisy").with_suffix(".log.1").read_text() == "old news, and long"


RUN_TWO = """
import sys
from pathlib import Path
from ragsite import supervisor
from ragsite.supervisor import Service, Supervisor
supervisor.GUARD_SECONDS = 1.0
code, folder = sys.argv[1], Path(sys.argv[2])
supervisor = Supervisor(logs=folder, say=print)
for name in ("PLAIN", "STUBBORN"):
    supervisor.start(Service(name=name, argv=[sys.executable, "-S", "-c", code, str(folder / name), name]))
supervisor.run()
"""


@pytest.mark.parametrize("guard_first", [False, True], ids=["guarded", "guard killed before"])
def test_nothing_survives_a_killed_supervisor(tmp_path: Path, *, guard_first: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", RUN_TWO, PARENT_AND_CHILD, str(tmp_path)]) as process:
        pids = [*pids_in(tmp_path / "PLAIN"), *pids_in(tmp_path / "STUBBORN")]
        everyone = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        assert set(pids) < set(everyone)
        if guard_first:
            (guard,) = set(everyone) - set(pids)
            os.kill(guard, signal.SIGKILL)
            time.sleep(0.5)  # a new one is started
        process.kill()
        process.wait()
        assert are_gone(everyone, seconds=5)
