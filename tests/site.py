"""A whole site of the tests' own, started as `make up` starts it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

START_SECONDS = 300.0  # for a site that is broken, not for a machine that is busy
# Recovery is quick here, so that tests of it are.
HASTE = {"INGEST_LEASE_SECONDS": "3", "SWEEP_SECONDS": "2"}
MODELS = Path(os.environ.get("DATA_DIR", "")) / "models"  # by tests/conftest.py
_OWN = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "ENCRYPTION_KEY",
    "ALLOWED_HOSTS",
    "HTTPS",
    "DJANGO_SETTINGS_MODULE",
)


@dataclass(frozen=True)
class Site:
    """A running site: its process, its folder, and what it told about itself in `up.json`."""

    process: subprocess.Popen[str]
    data_dir: Path
    facts: dict[str, str]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.data_dir, **self.settings)

    def client(self) -> httpx2.Client:
        headers = {"X-API-Key": self.facts["api_key"]}
        return httpx2.Client(base_url=self.facts["url"], headers=headers, timeout=60)

    def children(self, *words: str) -> list[psutil.Process]:
        """The living processes of this site whose command line has all the words."""
        everyone = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in everyone if set(words) <= _command(child)]


def _command(process: psutil.Process) -> set[str]:
    """The words of its command line; none once it has ended."""
    try:
        return set(process.cmdline())
    except psutil.NoSuchProcess:
        return set()


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _OWN}
    return inherited | HASTE | {"DATA_DIR": str(data_dir)} | more


@contextmanager
def running(data_dir: Path, models: Path | None = MODELS, /, **settings: str) -> Iterator[Site]:
    """Starts a site with these settings, waits until it says that it is up, and ends it.

    `models`: where the local model is prepared; without it, and outside of the tests, the site prepares its own.
    """
    if models and models.is_dir():
        shutil.copytree(models, data_dir / "models", dirs_exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "ragsite.launch", "--port", str(free_port())],
        env=environment(data_dir, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _read_until_up(process)
        facts = json.loads((data_dir / "up.json").read_text())
        yield Site(process, data_dir, facts, settings)
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(look: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """What `look` returns once it is true; the limit is for a site that is broken, not for one that is slow."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
    return seen


def finished(client: httpx2.Client, document_id: str, *, seconds: float = 60.0) -> Any:
    """The document, once it is ready or failed."""

    def look() -> Any:
        document = client.get(f"/api/documents/{document_id}").json()
        return document if document["status"] in {"ready", "failed"} else None

    return wait_for(look, seconds=seconds)


def _read_until_up(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    shown = []
    assert process.stdout
    for line in process.stdout:
        shown.append(line)
        if line.strip().startswith("Admin:"):
            return
        assert time.monotonic() < deadline, "".join(shown)
    raise AssertionError("".join(shown))
