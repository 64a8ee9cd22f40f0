from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from kombu.exceptions import OperationalError
from pytest_django import Settings

from accounts.models import Tenant
from documents import ingest, tasks
from documents.models import Document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.MEDIA_ROOT = tmp_path / "files"
    folder = tmp_path / "corpus"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.txt").write_text("The kettle is blue.")
    (folder / "deeper" / "b.md").write_text("# Tea\n\nAt four.")
    (folder / ".hidden").write_text("no")
    (folder / "copy.txt").write_text("The kettle is blue.")
    (folder / "empty.txt").write_text("")
    (folder / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    return folder


def run(*paths: Path, **options: Any) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("ingest", *map(str, paths), tenant="ours", stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def work_at_once(document: Document) -> None:
    ingest.process_now(document.pk)


def test_a_folder_is_stored_and_waited_for_and_what_is_not_taken_is_told(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "hint", work_at_once)
    out, err = run(folder)
    assert "2 of 2 documents are ready." in out
    assert "empty.txt: The file is empty." in err
    assert "picture.txt: Only text" in err
    assert ".hidden" not in err
    assert set(Document.objects.for_tenant(tenant).values_list("filename", "status")) == {
        ("a.txt", "ready"),
        ("b.md", "ready"),
    }
    out, _ = run(folder / "a.txt")  # again: it is there already
    assert "1 of 1" in out
    assert Document.objects.count() == 2


def test_a_file_that_fails_is_told(tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.txt").write_text(" \n \n")
    monkeypatch.setattr(tasks, "hint", work_at_once)
    out, err = run(folder / "a.txt")
    assert "0 of 1 documents are ready." in out
    assert "The file holds no text. (no_text)" in err


def test_not_waiting_returns_once_they_are_stored(tenant: Tenant, folder: Path) -> None:
    run(folder / "a.txt", no_wait=True, collection="guides")
    document = Document.objects.get()
    assert (document.status, document.collection.name) == ("queued", "guides")


def test_a_broker_that_is_down_is_only_a_warning(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: Any, **__: Any) -> Any:
        raise OperationalError("connection refused")

    monkeypatch.setattr("celery.app.task.Task.apply_async", down)
    run(folder / "a.txt", no_wait=True)
    assert Document.objects.get().status == "queued"


@pytest.mark.parametrize(("path", "tenant_slug"), [("missing", "ours"), ("corpus", "nobody")])
def test_a_path_or_tenant_that_is_not_there_is_an_error_before_anything_is_stored(
    tenant: Tenant, folder: Path, path: str, tenant_slug: str
) -> None:
    with pytest.raises(CommandError, match="There is no"):
        call_command("ingest", str(folder), str(folder.parent / path), tenant=tenant_slug)
    assert not Document.objects.exists()
