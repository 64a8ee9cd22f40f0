"""The servers that are measured: a site, a second web server of the same site, and the plain server."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil

from ragsite import settings
from tests import site
from tests.bench.load import Server
from tests.site import Site

GUNICORN = [sys.executable, "-m", "gunicorn", "-c", str(settings.BASE_DIR / "docker/gunicorn.conf.py")]
UVICORN = [sys.executable, "-m", "uvicorn", "--workers", "2", "--no-access-log", "--log-level", "warning"]


def of_site(up: Site) -> Server:
    return Server(up.facts["url"], lambda: up.children("gunicorn"), lambda: _behind(up))


@contextmanager
def another(up: Site, application: str) -> Iterator[Server]:
    """A second gunicorn of the site, with an application of the benchmarks' own."""
    port = site.free_port()
    environment = up.environment | {"PORT": str(port)}
    with _running([*GUNICORN, application], environment, url=f"http://127.0.0.1:{port}") as web:
        yield Server(f"http://127.0.0.1:{port}", web, lambda: _behind(up))


@contextmanager
def plain(folder: Path, answer: Mapping[str, Any]) -> Iterator[tuple[Server, str]]:
    """The plain server, which knows one answer, and its key."""
    port, key = site.free_port(), f"rag_{secrets.token_hex(16)}"
    environment = {**os.environ, "PLAIN_DB": str(folder / "plain.db")}
    known = folder / "answer.json"
    known.write_text(json.dumps(answer))
    prepare = [sys.executable, "-m", "tests.bench.plain_server", key, str(known)]
    subprocess.run(prepare, env=environment, check=True)
    url = f"http://127.0.0.1:{port}"
    with _running(
        [*UVICORN, "--port", str(port), "tests.bench.plain_server:app"], environment, url=url
    ) as web:
        yield Server(url, web), key


def _behind(up: Site) -> Sequence[psutil.Process]:
    web = {process.pid for process in up.children("gunicorn")}
    return [process for process in up.children() if process.pid not in web]


@contextmanager
def _running(argv: list[str], environment: Mapping[str, str], *, url: str) -> Iterator[Any]:
    process = subprocess.Popen(argv, env=dict(environment), cwd=settings.BASE_DIR)
    whole = psutil.Process(process.pid)
    try:
        site.wait_for(lambda: _answers(url))
        yield lambda: [whole, *whole.children(recursive=True)]
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        httpx2.get(f"{url}/health", timeout=1)
    except httpx2.HTTPError:
        return False
    return True
