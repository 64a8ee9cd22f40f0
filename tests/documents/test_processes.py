"""What only real processes show: a worker that is killed, and an upload that is too large for a real server."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.db import connection

from documents import tasks
from documents.models import Chunk, ChunkVector, Document
from tests.documents.corpora import assert_counts_are_exact
from tests.makers import Party, make_document

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "\n\n".join(
    f"Paragraph {n} of many. " + f"Kettle {n} is warm and the tea is served. " * 20 for n in range(120)
)


def database_url() -> str:
    """The test database, as other processes reach it."""
    parts = {
        name: value
        for name, value in connection.get_connection_params().items()
        if name in {"host", "port", "user", "password", "dbname"}
    }
    return "postgresql:///?" + "&".join(f"{name}={value}" for name, value in parts.items() if value)


@contextmanager
def worker(log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | {"DATABASE_URL": database_url(), "INGEST_LEASE_SECONDS": "2"}
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
        "critical,default,low",
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


def test_a_killed_worker_costs_an_attempt_and_no_document(ours: Party, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    document = make_document(ours.tenant, LONG)

    def now() -> Document:
        return Document.objects.get(pk=document.pk)

    with worker(log) as first:
        tasks.process.delay()
        wait_until(lambda: now().stage == "embedding", log=log)
        kill(first)
    assert now().status == "processing"
    with worker(log):

        def sweep_until_ready() -> bool:
            tasks.sweep.delay()
            time.sleep(0.5)
            return now().status == "ready"

        wait_until(sweep_until_ready, log=log)
    assert now().attempts == 2
    ordinals = list(
        Chunk.objects.for_tenant(ours.tenant).order_by("ordinal").values_list("ordinal", flat=True)
    )
    assert ordinals == list(range(now().chunks))
    assert ChunkVector.objects.for_tenant(ours.tenant).count() == len(ordinals) > 100
    assert_counts_are_exact(ours.tenant)


# An upload over the limit ------------------------------------------------------------------------------------


@contextmanager
def gunicorn(tmp_path: Path, **environment: str) -> Iterator[int]:
    """A real server on a free port, over the test database."""
    log = tmp_path / "gunicorn.log"
    known = os.environ | {"DATABASE_URL": database_url()} | environment
    argv = [
        sys.executable,
        "-m",
        "gunicorn",
        "ragsite.wsgi",
        "--bind",
        "127.0.0.1:0",
        "--worker-class",
        "gthread",
        "--threads",
        "4",
    ]
    with (
        log.open("wb") as out,
        subprocess.Popen(argv, env=known, stdout=out, stderr=out, cwd=settings.BASE_DIR) as process,
    ):
        try:
            wait_until(lambda: "Booting worker" in log.read_text(), log=log)
            yield int(log.read_text().partition("http://127.0.0.1:")[2].partition(" ")[0])
        finally:
            kill(process)


def send(port: int, raw_key: str, size: int) -> tuple[int, bytes]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    tail = b"\r\n--b--\r\n"
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {
        "X-API-Key": raw_key,
        "Content-Type": "multipart/form-data; boundary=b",
        "Content-Length": str(len(head) + size + len(tail)),
    }
    client.request(
        "POST",
        "/api/documents",
        body=iter([head, *[b"x" * 65_536] * (size // 65_536), b"x" * (size % 65_536), tail]),
        headers=headers,
    )
    response = client.getresponse()
    return response.status, response.read()


def test_a_client_reads_why_its_file_was_too_large(ours: Party, tmp_path: Path) -> None:
    with gunicorn(tmp_path, MAX_UPLOAD_BYTES="3000000") as port:
        status, body = send(port, ours.raw, 3_000_001)
        assert (status, b"file_too_large" in body) == (413, True)
        status, body = send(port, ours.raw, 11_000_000)
        assert (status, b"file_too_large" in body) == (413, True)
        assert send(port, ours.raw, 3_000_000)[0] == 202
    assert Document.objects.count() == 1
