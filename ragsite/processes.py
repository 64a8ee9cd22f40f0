"""Child processes that never outlive the program that started them. For Linux."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` after which the kernel signals the child when its parent dies, however it dies.

    The kernel forgets the wish when a process changes its user, so it has to be said after that, as `subprocess`
    does; and it means the parent's thread, so children are started from the main one.
    """
    parent = os.getpid()

    def in_child() -> None:
        end_with_parent(death_signal)
        if os.getppid() != parent:  # it died before the wish was heard
            os._exit(1)

    return in_child


def end_with_parent(death_signal: signal.Signals) -> None:
    """Let the kernel send this process `death_signal` when its parent dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, death_signal)


def spawn(
    argv: list[str],
    *,
    output: IO[bytes] | int,
    death_signal: signal.Signals = signal.SIGTERM,
    user: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, so that a terminal's Ctrl-C reaches only the program that started it."""
    switch = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]  # the overloads know no ** arguments
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent(death_signal),  # noqa: PLW1509  # only single-threaded programs spawn
        cwd=cwd,
        env=env,
        **switch,
    )


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether `process` has ended, and leave it unreaped: till then no other process can get its number."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def stop(process: subprocess.Popen[bytes], *, stop_signal: signal.Signals, grace: float) -> None:
    """Ask `process` to stop and wait `grace` seconds for it; then kill what is left of it and of its group."""
    if process.returncode is not None:
        return
    os.kill(process.pid, stop_signal)
    wait_until(lambda: has_ended(process), seconds=grace)
    reap(process)


def reap(process: subprocess.Popen[bytes]) -> int:
    """Kill what is left of `process` and its group, and return the exit code (-N: by signal N).

    The group goes first: once its leader is reaped, the number may belong to somebody else.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def wait_until(
    ready: Callable[[], bool], *, seconds: float, alive: Callable[[], bool] = lambda: True
) -> bool:
    """Poll `ready` every 20 ms; False when `seconds` have passed, or as soon as `alive` says no."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline or not alive():
            return False
        time.sleep(0.02)
    return True


def tail(path: Path, lines: int = 20) -> str:
    """Return the last `lines` lines of a log, of at most its last 16 KiB; empty when there is no such file."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 16384))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
