import base64
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from rest_framework.test import APIClient

from documents import intake, tasks
from documents.models import Chunk, Document
from tests.makers import Party, ingest, make_document, make_key, with_key

FIELDS = {"id", "title", "filename", "collection", "media_type", "bytes", "sha256", "metadata", "status", "stage", "progress",
          "queue", "attempts", "timings_ms", "pages", "chunks", "error_code", "error_detail", "created_at", "ready_at"}  # fmt: skip
URL = "/api/documents"


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids that the broker was told of."""
    told: list[str] = []
    monkeypatch.setattr(tasks, "hint", lambda document: told.append(str(document.pk)))
    return told


def upload(client: APIClient, content: bytes = b"Tea at four.", name: str = "tea.txt", **fields: Any) -> Any:
    return client.post(URL, {"file": SimpleUploadedFile(name, content), **fields}, format="multipart")


def send(client: APIClient, body: bytes, content_type: str) -> Any:
    return client.generic("POST", URL, body, content_type=content_type)  # type: ignore[arg-type]  # bytes pass as they are


def assert_problem(response: Any, status: int, code: str) -> None:
    assert response.status_code == status, response.content
    body = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response["X-Request-ID"]


def test_an_upload_is_202_with_its_address_and_the_document(ours: Party, published: list[str]) -> None:
    response = upload(ours.client, collection="guides", metadata='{"year": 2024}')
    assert response.status_code == 202, response.content
    body = response.json()
    assert set(body) == FIELDS
    assert (body["status"], body["collection"], body["metadata"]) == ("queued", "guides", {"year": 2024})
    assert (body["title"], body["filename"], body["media_type"], body["bytes"]) == (
        "tea",
        "tea.txt",
        "text/plain",
        12,
    )
    assert body["progress"] == {"done": 0, "total": 0}
    assert response["Location"].endswith(f"/api/documents/{body['id']}")
    assert ours.client.get(response["Location"]).json() == body
    assert published == [body["id"]]


def test_same_bytes_again_are_200_and_the_same_document(ours: Party, published: list[str]) -> None:
    first = upload(ours.client).json()
    again = upload(ours.client, name="other.txt")
    assert (again.status_code, again.json()) == (200, first)
    assert upload(ours.client, collection="other").status_code == 202
    assert len(published) == 2


@pytest.mark.parametrize(
    ("content", "name", "fields", "problem"),
    [
        (b"", "a.txt", {}, (400, "empty_file")),
        (b"x" * 2_001, "a.txt", {}, (413, "file_too_large")),
        (b"x" * 9_000, "a.txt", {}, (413, "file_too_large")),
        (b"\x89PNG\r\n\x1a\n\0", "a.pdf", {}, (415, "unsupported_type")),
        (b"x", "a.txt", {"metadata": "[]"}, (400, "invalid")),
        (b"x", "a.txt", {"metadata": "{"}, (400, "invalid")),
        (b"x", "a.txt", {"metadata": '{"a": NaN}'}, (400, "invalid")),
        (b"x", "a.txt", {"metadata": '{"a": "\\u0000"}'}, (400, "invalid")),
        (b"x", "a.txt", {"metadata": '{"a": "\\ud800"}'}, (400, "invalid")),
        (b"x", "a.txt", {"metadata": '{"a":' * 5_000}, (400, "invalid")),
        (b"x", "a.txt", {"metadata": '{"a": ' + "9" * 5_000 + "}"}, (400, "invalid")),
        (b"x", "a.txt", {"metadata": '{"a": 1e999}'}, (400, "invalid")),
        (b"x", "a.txt", {"collection": "a\0b"}, (400, "invalid")),
        (b"x", "a.txt", {"collection": "x" * 101}, (400, "invalid")),
        (b"x", "a.txt", {"collection": "0190163d-8694-739b-aea5-966c26f8ad91"}, (404, "not_found")),
        (b"x", "a.txt", {"colection": "misspelt"}, (400, "invalid")),
        (b"x", "a.txt", {"metadata": SimpleUploadedFile("m.json", b"{}")}, (400, "invalid")),
    ],
)
def test_an_upload_that_is_not_taken_is_a_problem_and_leaves_no_document(
    ours: Party, settings: Settings, *, content: bytes, name: str, fields: dict[str, Any], problem: tuple[int, str]
) -> None:  # fmt: skip
    settings.MAX_UPLOAD_BYTES = 2_000
    response = upload(ours.client, content, name, **fields)
    assert_problem(response, *problem)
    assert not Document.objects.for_tenant(ours.tenant).exists()


BOUNDARY = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", BOUNDARY, 400),
        (b"--b", BOUNDARY, 400),
        (b"--b--", BOUNDARY, 400),
        (b"garbage", BOUNDARY, 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n', BOUNDARY, 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\njust text\r\n--b--\r\n', BOUNDARY, 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\nx\r\n--b--', BOUNDARY, 400),
        (b'--b\r\nContent-Disposition: form-data; filename="a.txt"\r\n\r\nx\r\n--b--\r\n', BOUNDARY, 400),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=" + "\xe9" * 3, 400),
        (b"x", "multipart/form-data; boundary=b; charset=nonsense", 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!\r\n--b--\r\n', BOUNDARY, 400),
        (b"{}", "application/json", 415),
        (b"file=x", "application/x-www-form-urlencoded", 415),
        (b"x", "text/plain", 415),
        (b"x", "no type at all", 415),
        (b"--b\r\n" + b'Content-Disposition: form-data; name="x"\r\n\r\n1\r\n--b\r\n' * 1_200 + b"--b--\r\n", BOUNDARY, (400, 413)),
    ],
)  # fmt: skip
def test_odd_bodies_are_problems(ours: Party, body: bytes, content_type: str, status: Any) -> None:
    response = send(ours.client, body, content_type)
    allowed = status if isinstance(status, tuple) else (status,)
    assert response.status_code in allowed, response.content
    assert response["Content-Type"] == "application/problem+json"


def test_files_of_one_request_are_limited_together(ours: Party, settings: Settings) -> None:
    settings.MAX_UPLOAD_BYTES = 1_000
    files = {f"f{n}": SimpleUploadedFile("a.txt", b"x" * 900) for n in range(3)}
    assert_problem(ours.client.post(URL, files, format="multipart"), 413, "file_too_large")


@pytest.mark.parametrize(
    "filename", ["../../x.txt", "a\0b.txt", "\ud83d.txt", 'a".txt', "é" * 400 + ".txt", "C:\\x.txt", " .txt"]
)
def test_odd_file_names_are_taken(ours: Party, filename: str) -> None:
    name = filename.encode(errors="surrogatepass").replace(b'"', b'\\"')
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\nx\r\n--b--\r\n' % name
    response = send(ours.client, body, BOUNDARY)
    assert response.status_code in {202, 400}, response.content
    if response.status_code == 202:
        assert "/" not in response.json()["filename"]
        assert len(response.json()["filename"]) <= 255


def test_a_full_disk_is_503(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.files import uploadedfile
    from django.core.files.storage import FileSystemStorage

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(FileSystemStorage, "_save", full)
        assert_problem(upload(ours.client), 503, "storage_failed")
    monkeypatch.setattr(uploadedfile.TemporaryUploadedFile, "__init__", full)
    assert_problem(upload(ours.client, b"x" * 3_000_000), 503, "storage_failed")
    assert not Document.objects.for_tenant(ours.tenant).exists()


def test_the_list_is_newest_first_filtered_and_paginated(ours: Party, theirs: Party) -> None:
    made = [make_document(ours.tenant, f"text {n}", collection="ab"[n % 2]) for n in range(5)]
    make_document(theirs.tenant, "theirs")
    Document.objects.filter(pk=made[0].pk).update(status="failed", error_code="corrupt")
    client = ours.client

    def ids(query: str) -> list[str]:
        return [row["id"] for row in client.get(f"{URL}?{query}").json()["results"]]

    newest = [str(document.pk) for document in reversed(made)]
    assert ids("") == newest
    assert ids("collection=a") == [newest[0], newest[2], newest[4]]
    assert ids(f"collection={made[1].collection_id}") == [newest[1], newest[3]]
    assert ids("status=failed") == newest[4:]
    assert ids("status=failed&collection=b") == []
    page, seen = client.get(f"{URL}?limit=2").json(), []
    assert set(page) == {"results", "next", "previous"}
    assert page["previous"] is None
    while True:
        seen += [row["id"] for row in page["results"]]
        if not page["next"]:
            break
        page = client.get(page["next"]).json()
    assert seen == newest


def cursor(position: str) -> str:
    return base64.b64encode(position.encode()).decode()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 400), ("limit=-1", 400), ("limit=abc", 400), ("limit=1.5", 400), ("limit=", 400), ("limit=100000", 200),
        ("limit=" + "9" * 5_000, 400), ("limit=1&limit=2", 200), ("status=unknown", 400), ("status=", 400), ("stauts=ready", 400),
        ("collection=none", 404), ("collection=%00", 400), ("collection=%ff", 404), ("collection=", 400),
        ("cursor=abc", 400), ("cursor=%ff", 400), ("cursor=%00", 400), ("cursor=", (200, 400)), (f"cursor={cursor('p=abc')}", 400),
        (f"cursor={cursor('p=%00')}", 400), (f"cursor={cursor('o=-1')}", 400), (f"cursor={cursor('o=x')}", 400),
        (f"cursor={cursor('r=1&p=zz')}", 400), ("format=json", 200), ("format=nope", (200, 404)),
    ],
)  # fmt: skip
def test_odd_query_strings_are_problems(ours: Party, query: str, status: Any) -> None:
    make_document(ours.tenant, "text")
    response = ours.client.get(f"{URL}?{query}")
    assert response.status_code in (status if isinstance(status, tuple) else (status,)), response.content


@pytest.mark.django_db(transaction=True)
def test_a_document_is_removed_once(ours: Party) -> None:
    document = ingest(ours.tenant, "text")
    response = ours.client.delete(f"{URL}/{document.pk}")
    assert (response.status_code, response.content) == (204, b"")
    assert_problem(ours.client.delete(f"{URL}/{document.pk}"), 404, "not_found")
    assert_problem(ours.client.get(f"{URL}/{document.pk}"), 404, "not_found")
    assert ours.client.get(URL).json()["results"] == []


@pytest.mark.django_db(transaction=True)
def test_reprocessing_is_202_for_what_is_finished_and_409_for_what_is_not(
    ours: Party, published: list[str]
) -> None:
    document = ingest(ours.tenant, "text")
    response = ours.client.post(f"{URL}/{document.pk}/reprocess")
    assert (response.status_code, response.json()["status"]) == (202, "queued")
    assert published == [str(document.pk)]
    assert_problem(ours.client.post(f"{URL}/{document.pk}/reprocess"), 409, "in_progress")


@pytest.mark.parametrize(
    ("method", "path"), [("get", ""), ("delete", ""), ("post", "/reprocess"), ("get", "/text")]
)
def test_another_tenants_document_is_404(ours: Party, theirs: Party, method: str, path: str) -> None:
    document = make_document(theirs.tenant, "theirs")
    assert_problem(getattr(ours.client, method)(f"{URL}/{document.pk}{path}"), 404, "not_found")
    assert Document.objects.filter(pk=document.pk, status="queued").exists()


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("a.md", "# Größe 😀\r\n\r\nOne.\r\n\r\n## Two\r\n\r\n" + "A sentence of text. " * 200),
        ("a.txt", "\ufeffTea\u2028at\x0cfour.\n\n" + "Über Öl 東京。" * 300),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_the_text_is_what_spans_count_in(ours: Party, filename: str, content: str) -> None:
    document = ingest(ours.tenant, content, filename=filename)
    assert document.status == "ready", document.error_detail
    response = ours.client.get(f"{URL}/{document.pk}/text")
    text = response.content.decode()
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    chunks = list(Chunk.objects.for_tenant(ours.tenant).order_by("ordinal"))
    assert len(chunks) > 1
    assert [text[chunk.start : chunk.end] for chunk in chunks] == [chunk.text for chunk in chunks]
    assert text == content.removeprefix("\ufeff")


def test_a_restricted_key_sees_and_fills_its_collections_alone(ours: Party) -> None:
    mine, other = make_document(ours.tenant, "a", collection="mine"), make_document(ours.tenant, "b")
    _, raw = make_key(ours.tenant, owner=ours.business, collection_ids=[mine.collection_id])
    client = with_key(raw)
    assert [row["id"] for row in client.get(URL).json()["results"]] == [str(mine.pk)]
    for response in (
        client.get(f"{URL}/{other.pk}"),
        client.delete(f"{URL}/{other.pk}"),
        client.post(f"{URL}/{other.pk}/reprocess"),
        client.get(f"{URL}?collection=default"),
        client.get(f"{URL}?collection={other.collection_id}"),
        client.get(f"{URL}?collection=none"),
        upload(client, b"c", collection="default"),
        upload(client, b"c", collection="new"),
        upload(client, b"c"),
    ):
        assert_problem(response, 404, "not_found")
    assert upload(client, b"c", collection="mine").status_code == 202
    assert intake.existing_collection(ours.tenant.pk, "default")


def test_who_may_not_ingest_is_refused(ours: Party, anonymous: APIClient) -> None:
    _, raw = make_key(ours.tenant, owner=ours.business, scopes=["query"])
    assert upload(anonymous).status_code == 401
    assert upload(with_key(raw)).status_code == 403
    assert upload(ours.user_client).status_code == 403
    assert ours.user_client.get(URL).status_code == 403
    assert upload(ours.business_client).status_code == 202


def test_a_list_of_many_documents_takes_as_many_queries_as_one(
    ours: Party, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        make_document(ours.tenant, f"text {number}", collection=f"c{number}")
    client = ours.business_client
    with django_assert_max_num_queries(4):
        assert len(json.loads(client.get(URL).content)["results"]) == 20


@pytest.mark.django_db
def test_a_second_file_in_one_form_is_refused_and_not_lost(ours: Party) -> None:
    files = [SimpleUploadedFile("a.txt", b"One."), SimpleUploadedFile("b.txt", b"Two.")]
    response = ours.client.post("/api/documents", {"file": files})
    assert (response.status_code, response.json()["code"]) == (400, "repeated")


@pytest.mark.django_db
def test_a_form_in_a_strange_charset_is_malformed(ours: Party) -> None:
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="collection"\r\n\r\nab\r\n'
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nOne.\r\n--XX--\r\n'
    )
    response = ours.client.post(
        "/api/documents", body, content_type="multipart/form-data; boundary=XX; charset=idna"
    )
    assert (response.status_code, response.json()["code"]) == (400, "malformed")
