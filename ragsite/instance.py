"""At most one running site in a data directory, and a way to find and stop it."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil


class AlreadyRunningError(RuntimeError):
    """Another site runs in this data directory."""


@contextmanager
def hold(data_dir: Path) -> Iterator[Callable[[str], None]]:
    """Be the site of `data_dir` for the time of the block; raises AlreadyRunningError when there is one.

    The lock is the kernel's and goes with us, whatever ends us. The pid in the file is for `stop` alone, as is what the
    block is given: a way to say what goes on to whoever waits for our end.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _pid_file(data_dir).open("a+") as file:
        if not _try_lock(file):
            raise AlreadyRunningError(
                f"a site already runs in {data_dir} (pid {pid(data_dir)}): `make down` stops it"
            )
        facts = {"pid": os.getpid(), "started": psutil.Process().create_time()}

        def tell(line: str) -> None:
            file.truncate(0)
            json.dump(facts | {"says": line}, file)
            file.flush()

        tell("")
        yield tell
        file.truncate(0)


def stop(data_dir: Path, *, seconds: float, say: Callable[[str], None]) -> int | None:
    """Stop the site of `data_dir` and wait for its end; return its pid, or None when none runs.

    What it says of itself meanwhile is handed to `say`. Raises TimeoutError when it is still there after `seconds`.
    """
    if not _pid_file(data_dir).exists():
        return None
    with _pid_file(data_dir).open() as file:
        if _try_lock(file):
            return None
        running, said = pid(data_dir), ""
        if running is not None:
            os.kill(running, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the site in {data_dir} (pid {running}) is still there after {seconds:.0f} s"
                )
            if (line := _facts(data_dir).get("says", "")) != said:
                said = line
                say(line)
            time.sleep(0.05)
        return running


def pid(data_dir: Path) -> int | None:
    """The pid in the file, if the process of that number began when the file says it did."""
    facts = _facts(data_dir)
    try:
        process = psutil.Process(facts["pid"])
    except (KeyError, psutil.NoSuchProcess):
        return None
    return process.pid if abs(process.create_time() - facts["started"]) < 1 else None


def _facts(data_dir: Path) -> dict[str, Any]:
    """What the file says; nothing where there is none, or while it is being written."""
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads(_pid_file(data_dir).read_text()))
    return {}


def _pid_file(data_dir: Path) -> Path:
    return data_dir / "up.pid"


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
