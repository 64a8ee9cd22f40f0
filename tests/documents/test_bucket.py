"""Files in a bucket, over HTTP from a server that speaks S3, and what becomes of documents when it does not."""

import gc
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import boto3
import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import Tenant
from documents import bucket, files, indexing, intake
from documents.ingest import process_now
from documents.models import Document
from tests.makers import Party, ingest, make_document
from tests.site import free_port, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "uploads"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """In a process of its own: what it holds in memory is not ours."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def storage(endpoint: str) -> dict[str, Any]:
    options = {
        "bucket_name": NAME,
        "location": "some/prefix",
        "endpoint_url": endpoint,
        "region_name": "eu-central-1",
        "access_key": "id",
        "secret_key": "secret",
    }
    return {**storages.backends, "default": {"BACKEND": "documents.bucket.Bucket", "OPTIONS": options}}


@pytest.fixture
def objects(server: str, settings: Settings) -> Iterator[Any]:
    """The bucket, empty, as the site's storage."""
    bucket.forget()
    settings.STORAGES = storage(server)
    client = boto3.resource(
        "s3",
        endpoint_url=server,
        region_name="eu-central-1",
        aws_access_key_id="id",
        aws_secret_access_key="x",
    )
    made = client.Bucket(NAME)
    made.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield made.objects
    made.objects.delete()
    made.delete()
    bucket.forget()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "READ_SECONDS", 0.3)
    monkeypatch.setattr(bucket, "CONNECT_SECONDS", 0.3)


@pytest.fixture
def hanging() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def keys(objects: Any) -> list[str]:
    return [stored.key for stored in objects.all()]


def fresh(document: Document) -> Document:
    return Document.objects.get(pk=document.pk)


def process_again(document: Document) -> None:
    """After the pause that what was given back has to keep."""
    Document.objects.filter(pk=document.pk).update(not_before=Now())
    process_now(document.pk)


def test_a_file_is_held_once_under_its_hash_read_and_removed_with_its_last_document(
    tenant: Tenant, objects: Any
) -> None:
    first = ingest(tenant, "The kettle is blue.", filename="../../etc/passwd")
    assert (first.status, first.chunks) == ("ready", 1), first.error_detail
    second = ingest(tenant, "The kettle is blue.", collection="other")
    path = f"some/prefix/{tenant.pk}/{first.sha256[:2]}/{first.sha256}"
    assert keys(objects) == [path]
    indexing.remove(first)
    assert keys(objects) == [path]
    indexing.remove(second)
    assert keys(objects) == []


def test_everything_of_one_tenant_is_discarded_and_nothing_of_another(
    ours: Party, theirs: Party, objects: Any
) -> None:
    for party in (ours, theirs):
        for text in ("one", "two", "three"):
            make_document(party.tenant, text)
    files.discard_all(ours.tenant.pk)
    assert len(keys(objects)) == 3
    assert all(str(theirs.tenant.pk) in key for key in keys(objects))


def test_a_large_file_goes_up_and_down_in_parts_and_never_whole_through_memory(
    tenant: Tenant, objects: Any
) -> None:
    size = 40 * 1024 * 1024
    piece = b"The kettle is warm and the tea is served.\n" * 25_000
    content = [piece] * (size // len(piece))
    gc.collect()
    tracemalloc.start()
    try:
        document, _ = _stored(tenant, content)
        with files.local_copy(str(document.file)) as path:
            assert path.stat().st_size == document.bytes
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "-" in next(iter(objects.all())).e_tag  # S3's sign of an upload in parts
    assert peak < 3 * bucket.PART_BYTES, f"{peak:,}"


def test_a_bucket_that_is_down_or_hangs_answers_an_upload_503_and_is_then_left_alone(
    ours: Party, objects: Any, settings: Settings, hasty: None, hanging: str
) -> None:
    for endpoint in (f"http://127.0.0.1:{free_port()}", hanging):
        bucket.forget()
        settings.STORAGES = storage(endpoint)
        took = []
        for _ in range(bucket.BREAKER_FAILURES + 1):
            began = time.monotonic()
            assert_storage_failed(upload(ours))
            took.append(time.monotonic() - began)
        if endpoint == hanging:
            assert took[-1] < took[0] / 2  # nobody waits for it any more
    assert not Document.objects.exists()


def test_a_bucket_that_is_slow_within_its_time_is_only_slow(
    ours: Party, objects: Any, server: str, settings: Settings
) -> None:
    with slow(server, seconds=0.3) as endpoint:
        settings.STORAGES = storage(endpoint)
        response = upload(ours)
        assert response.status_code == 202
        process_now(response.json()["id"])
    assert Document.objects.get().status == "ready"


def test_a_document_waits_for_a_bucket_that_is_away_and_is_processed_when_it_is_back(
    tenant: Tenant, objects: Any, server: str, settings: Settings, hasty: None
) -> None:
    document = make_document(tenant, "The kettle is blue.")
    settings.STORAGES = storage(f"http://127.0.0.1:{free_port()}")
    process_now(document.pk)
    assert (fresh(document).status, fresh(document).error_code) == ("queued", "storage_failed")
    settings.STORAGES = storage(server)
    process_again(document)
    assert (fresh(document).status, fresh(document).error_code) == ("ready", "")


def test_a_bucket_that_is_not_there_has_lost_no_file_and_one_without_the_file_has(
    tenant: Tenant, objects: Any, server: str, settings: Settings
) -> None:
    document = make_document(tenant, "The kettle is blue.")
    missing = storage(server)
    missing["default"]["OPTIONS"]["bucket_name"] = "another"
    settings.STORAGES = missing
    process_now(document.pk)
    assert (fresh(document).status, fresh(document).error_code) == ("queued", "storage_failed")
    settings.STORAGES = storage(server)
    objects.delete()
    process_again(document)
    assert (fresh(document).status, fresh(document).error_code) == ("failed", "file_lost")


def test_boto3_is_imported_only_for_a_bucket() -> None:
    look = "import django; django.setup(); import sys, ragsite.wsgi; print('boto3' in sys.modules)"
    for chosen, imported in (("folder", "False"), ("s3", "True")):
        storing = f"from django.core.files.storage import default_storage; default_storage.{'location'}; "
        said = subprocess.run(
            [sys.executable, "-c", look.replace("import sys", storing + "import sys")],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "ragsite.settings",
                "STORAGE": chosen,
                "S3_BUCKET": "b",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == imported


@contextmanager
def slow(server: str, *, seconds: float) -> Iterator[str]:
    """The server behind a door that lets each piece of an answer out only after a while."""

    def pass_on(source: socket.socket, target: socket.socket, pause: float) -> None:
        with suppress(OSError), closing(target):
            while piece := source.recv(1 << 16):
                time.sleep(pause)
                target.sendall(piece)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = door.accept()
                behind = socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2])))
                for ends in ((client, behind, 0.0), (behind, client, seconds)):
                    threading.Thread(target=pass_on, args=ends, daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        door.shutdown(socket.SHUT_RDWR)


def upload(party: Party) -> Any:
    sent = SimpleUploadedFile("tea.txt", b"Tea at four.")
    return party.client.post("/api/documents", {"file": sent}, format="multipart")


def assert_storage_failed(response: Any) -> None:
    assert (response.status_code, response.json()["code"]) == (503, "storage_failed")


def _stored(tenant: Tenant, content: list[bytes]) -> tuple[Document, bool]:
    return intake.store(
        tenant=tenant,
        chunks=content,
        filename="large.txt",
        collection=intake.collection_named(tenant, "default"),
    )
