"""A pytest plugin: Postgres and Redis of the tests' own, in a temporary directory, before Django settings load.

TEST_DATABASE_URL (and TEST_DATABASE_OWNER_URL) and TEST_REDIS_URL point the tests at servers instead. A `make up` in the same checkout is left
alone, and nothing runs on however pytest ends: the servers die with it.
"""

import base64
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ragsite import embedded

_PREFIX = "ragsite-test-"
_running = ExitStack()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Start the servers. A wrapper runs before pytest-django, which reads the settings in this same hook."""
    early_config.add_cleanup(_running.close)
    _sweep()
    data_dir = _own_directory()
    os.environ["DATA_DIR"] = str(data_dir)
    os.environ |= _databases(data_dir)
    os.environ["REDIS_URL"] = os.environ.get("TEST_REDIS_URL") or _start(
        embedded.Redis(data_dir, durable=False), embedded.redis_url
    )
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEY"):
        os.environ.pop(f"{name}_FILE", None)  # it would go before the variable
    # With a DATABASE_URL no secret has a default, and the tests speak plain HTTP to a host of their own.
    os.environ["SECRET_KEY"] = secrets.token_urlsafe(50)
    os.environ["ENCRYPTION_KEY"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    os.environ["ALLOWED_HOSTS"] = "localhost,127.0.0.1,[::1],testserver"
    os.environ["HTTPS"] = "false"
    return (yield)


def _databases(data_dir: Path) -> dict[str, str]:
    """Where the tests' database is: for the role that serves, and for the one that owns the tables."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        return {"DATABASE_URL": given, "DATABASE_OWNER_URL": os.environ.get("TEST_DATABASE_OWNER_URL", given)}
    served = _start(embedded.Postgres(data_dir, durable=False), embedded.database_url)
    return {
        "DATABASE_URL": served,
        "DATABASE_OWNER_URL": embedded.database_url(data_dir, role=embedded.OWNER),
    }


def _start(server: embedded.Server, url: Callable[[Path], str]) -> str:
    process = embedded.start(server, log=server.data_dir / f"{server.name}.log")
    _running.callback(embedded.stop, server, process)
    return url(server.data_dir)


def _own_directory() -> Path:
    """Make a directory that is ours as long as we live: its lock goes with us, whatever ends us."""
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    _running.callback(shutil.rmtree, directory, ignore_errors=True)
    lock = _running.enter_context((directory / "lock").open("w"))
    fcntl.flock(lock, fcntl.LOCK_EX)
    return directory


def _sweep() -> None:
    """Remove the directories of runs that were killed: nobody holds their locks."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), (directory / "lock").open() as lock:
            if time.time() - (directory / "lock").stat().st_mtime > 60:  # younger: it may be about to take it
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
