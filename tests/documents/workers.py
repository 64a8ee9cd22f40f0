"""Workers as processes of their own, over the test database."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection


def database_url() -> str:
    """The test database, as other processes reach it."""
    parts = {
        name: value
        for name, value in connection.get_connection_params().items()
        if name in {"host", "port", "user", "password", "dbname"}
    }
    return "postgresql:///?" + "&".join(f"{name}={value}" for name, value in parts.items() if value)


@contextmanager
def worker(
    log: Path, *, queues: str = "critical,default,low", **settings_: str
) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | {"DATABASE_URL": database_url(), "INGEST_LEASE_SECONDS": "2"} | settings_
    argv = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "ragsite",
        "worker",
        "-c",
        "1",
        "-Q",
        queues,
        "--without-gossip",
        "--without-mingle",
    ]
    with (
        log.open("ab") as out,
        subprocess.Popen(argv, env=environment, stdout=out, stderr=out, cwd=settings.BASE_DIR) as process,
    ):
        try:
            yield process
        finally:
            kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """As a machine that runs out of memory does: the worker and its children, without a word."""
    if process.poll() is None:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in family:
            member.kill()
        process.wait()
        psutil.wait_procs(family, timeout=5)


def wait_until(happened: Callable[[], bool], *, log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, log.read_text()[-3_000:]
        time.sleep(0.05)
