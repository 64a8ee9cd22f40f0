import errno
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import connection
from pytest_django import Settings

from accounts.models import Tenant
from documents import files, indexing, intake
from documents import ingest as ingesting
from documents.models import Document
from ragsite.lib import row_security
from ragsite.lib.errors import Invalid, TooLarge, Unavailable, UnsupportedType
from tests.makers import ingest, make_document


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "files"
    return Path(settings.MEDIA_ROOT)


def stored(media: Path) -> list[Path]:
    return [path for path in media.rglob("*") if path.is_file()]


def test_an_upload_is_stored_by_its_hash_and_queued(tenant: Tenant, media: Path) -> None:
    document = make_document(tenant, "Tea is served at four.", filename="house rules.txt")
    assert (document.status, document.title, document.bytes) == ("queued", "house rules", 22)
    assert [path.name for path in stored(media)] == [document.sha256]
    assert stored(media)[0].read_text() == "Tea is served at four."


@pytest.mark.parametrize(
    ("content", "filename", "error", "code"),
    [
        (b"", "a.txt", Invalid, "empty_file"),
        (b"x" * 101, "a.txt", TooLarge, "file_too_large"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "a.txt", UnsupportedType, "unsupported_type"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "a.pdf", UnsupportedType, "unsupported_type"),
        (b"MZ\x90\0", "a.md", UnsupportedType, "unsupported_type"),
    ],
)
def test_what_is_not_taken_leaves_no_row_and_no_file(
    tenant: Tenant, media: Path, settings: Settings, *, content: bytes, filename: str, error: type[Exception], code: str
) -> None:  # fmt: skip
    settings.MAX_UPLOAD_BYTES = 100
    with pytest.raises(error) as caught:
        make_document(tenant, content, filename=filename)
    assert caught.value.error_code == code  # type: ignore[attr-defined]  # every AppError has one
    assert not Document.objects.for_tenant(tenant).exists()
    assert not stored(media)


def test_a_file_of_exactly_the_limit_is_taken(tenant: Tenant, settings: Settings) -> None:
    settings.MAX_UPLOAD_BYTES = 100
    assert make_document(tenant, b"x" * 100).bytes == 100


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\secret\\plan.txt", "plan.txt"),
        ("a\0b\n\x1b[31mc.txt", "ab[31mc.txt"),
        ("..", ".."),
        ("folder/", "unnamed"),
        ("", "unnamed"),
        ("\u202etxt.exe", "txt.exe"),
        ("x" * 300 + ".txt", "x" * 251 + ".txt"),
    ],
)
def test_a_name_is_shown_and_never_a_path(tenant: Tenant, media: Path, given: str, shown: str) -> None:
    document = make_document(tenant, "text", filename=given)
    assert document.filename == shown
    assert document.title
    assert [path.name for path in stored(media)] == [document.sha256]


def test_same_bytes_are_one_document_in_a_collection_and_share_the_file_with_another(
    tenant: Tenant, media: Path
) -> None:
    first = make_document(tenant, "text", filename="a.txt")
    again = make_document(tenant, "text", filename="b.txt")
    elsewhere = make_document(tenant, "text", collection="other")
    assert again == first
    assert elsewhere != first
    assert elsewhere.file.name == first.file.name
    assert len(stored(media)) == 1


@pytest.mark.django_db(transaction=True)
def test_the_file_goes_with_the_last_document_of_its_bytes(tenant: Tenant, media: Path) -> None:
    first, second = make_document(tenant, "text"), make_document(tenant, "text", collection="other")
    indexing.remove(first)
    assert len(stored(media)) == 1
    indexing.remove(second)
    assert not stored(media)


def test_a_failed_document_is_queued_again_by_its_bytes_and_a_ready_one_is_not(tenant: Tenant) -> None:
    ready = make_document(tenant, "text")
    content = b"text"
    collection = ready.collection
    for status, code, queued in (("ready", "", False), ("failed", "corrupt", True), ("queued", "", False)):
        Document.objects.for_tenant(tenant).update(status=status, error_code=code, attempts=3)
        document, is_queued = intake.store(
            tenant=tenant, chunks=[content], filename="a.txt", collection=collection
        )
        assert (document.pk, is_queued) == (ready.pk, queued)
        assert document.attempts == (0 if queued else 3)


@pytest.mark.django_db(transaction=True)
def test_uploads_of_one_file_at_once_make_one_row_and_one_whole_file(tenant: Tenant, media: Path) -> None:
    content = os.urandom(500_000).hex().encode()
    intake.collection_named(tenant, "default")

    def upload(_: int) -> Any:
        try:
            return make_document(tenant, content).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(8, initializer=row_security.enter_across) as pool:
        ids = set(pool.map(upload, range(16)))
    assert len(ids) == 1
    assert [path.read_bytes() == content for path in stored(media)] == [True]


@pytest.mark.django_db(transaction=True)
def test_uploading_while_the_last_document_of_the_bytes_is_deleted_never_leaves_a_row_without_its_file(
    tenant: Tenant,
) -> None:
    intake.collection_named(tenant, "a")
    intake.collection_named(tenant, "b")

    def run(name: str) -> None:
        try:
            for _ in range(15):
                document = make_document(tenant, "text", collection=name)
                assert default_storage.exists(str(document.file))
                indexing.remove(document)
        finally:
            connection.close()

    with ThreadPoolExecutor(2, initializer=row_security.enter_across) as pool:
        list(pool.map(run, "ab"))
    assert not Document.objects.for_tenant(tenant).exists()


def test_a_file_that_a_killed_process_left_half_written_is_written_again(tenant: Tenant, media: Path) -> None:
    document = make_document(tenant, "whole text")
    stored(media)[0].chmod(0o600)
    stored(media)[0].write_text("whole")
    path = files.path_of(tenant.pk, document.sha256)
    make_document(tenant, "whole text")
    assert default_storage.open(path).read() == b"whole text"


def test_a_full_disk_is_a_temporary_failure_and_leaves_nothing(
    tenant: Tenant, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FileSystemStorage._save  # type: ignore[attr-defined]  # the stubs leave it out

    def full(storage: Any, name: str, content: Any) -> str:
        real(storage, name, content)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(FileSystemStorage, "_save", full)
        with pytest.raises(Unavailable) as caught:
            make_document(tenant, "text")
    assert caught.value.error_code == "storage_failed"
    assert not Document.objects.for_tenant(tenant).exists()
    assert not stored(media)
    assert make_document(tenant, "text").status == "queued"


@pytest.mark.parametrize(
    "metadata",
    [
        [], "text", 5, None, {"a": "x" * 17_000}, {"a": "\0"}, {"a\0": 1}, {"a": "\ud800"}, {"\udfff": 1},
        {"a": math.nan}, {"a": [math.inf]}, {"a": "é" * 9_000},
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_stored_is_refused(metadata: Any) -> None:
    with pytest.raises(Invalid):
        intake.check_metadata(metadata)


@pytest.mark.parametrize(
    "metadata", [{}, {"a": "\\u0000"}, {"a": {"b": [1, 2.5, None, True, "😀"]}}, {"a": 10**300}]
)
def test_metadata_comes_back_as_it_was(tenant: Tenant, metadata: dict[str, Any]) -> None:
    document = make_document(tenant, "text", metadata=intake.check_metadata(metadata))
    document.refresh_from_db()
    assert document.metadata == metadata


@pytest.mark.django_db(transaction=True)
def test_a_document_whose_file_is_gone_fails_and_an_upload_of_its_bytes_mends_it(
    tenant: Tenant, media: Path
) -> None:
    document = ingest(tenant, "Tea is served at four.")
    assert document.status == "ready"
    stored(media)[0].unlink()
    Document.objects.for_tenant(tenant).update(status="queued", attempts=0)
    ingesting.process_now(document.pk)
    document.refresh_from_db()
    assert (document.status, document.error_code, document.chunks) == ("failed", "file_lost", 0)
    assert ingest(tenant, "Tea is served at four.").status == "ready"
