"""At most one running site in a data directory, and a way to find and stop it."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil


class AlreadyRunningError(RuntimeError):
    """Another site runs in this data directory."""


@contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """Be the site of `data_dir` for the time of the block; raises AlreadyRunningError when there is one.

    The lock is the kernel's and goes with us, whatever ends us. The pid in the file is for `stop` alone.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _pid_file(data_dir).open("a+") as file:
        if not _try_lock(file):
            raise AlreadyRunningError(
                f"a site already runs in {data_dir} (pid {_owner(file)}): `make down` stops it"
            )
        file.truncate(0)
        json.dump({"pid": os.getpid(), "started": psutil.Process().create_time()}, file)
        file.flush()
        yield
        file.truncate(0)


def stop(data_dir: Path, *, seconds: float) -> int | None:
    """Stop the site of `data_dir` and wait for its end; return its pid, or None when none runs.

    Raises TimeoutError when it is still there after `seconds`.
    """
    if not _pid_file(data_dir).exists():
        return None
    with _pid_file(data_dir).open("r+") as file:
        if _try_lock(file):
            return None
        pid = _owner(file)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the site in {data_dir} (pid {pid}) is still there after {seconds:.0f} s")
            time.sleep(0.05)
        return pid


def _pid_file(data_dir: Path) -> Path:
    return data_dir / "up.pid"


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(file: IO[str]) -> int | None:
    """Return the pid that holds the lock, if the process of that number began when the file says it did."""
    file.seek(0)
    try:
        facts = json.load(file)
        process = psutil.Process(facts["pid"])
    except (ValueError, psutil.NoSuchProcess):
        return None
    return process.pid if abs(process.create_time() - facts["started"]) < 1 else None
