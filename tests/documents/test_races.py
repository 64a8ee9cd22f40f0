"""Uploads, deletions, replacements and searches at once: each ends in the state that docs/ingestion.md says.

With real commits from several threads, each with a connection of its own.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from pytest_django import Settings

from accounts.models import Tenant
from documents import indexing, ingest, states
from documents.confined import parsing
from documents.formats import text
from documents.ingest import process_now
from documents.models import Chunk, ChunkVector, Collection, Document, DocumentText, Term
from documents.searching import search
from documents.searching.search import Scope
from documents.structure import UnreadableError
from ragsite.lib import row_security
from ragsite.lib.errors import Conflict, NotFound
from ragsite.lib.inference.embedding_cache import embed_cached
from tests.documents.corpora import assert_counts_are_exact
from tests.makers import Party, make_document
from tests.makers import ingest as processed

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "prices.txt"
THREADS = 8


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture(autouse=True)
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each file would make up most of the time."""

    def read(path: Path, media_type: str, *, limits: Any) -> Any:
        try:
            return text.parse(path, limits)
        except UnreadableError as error:
            raise parsing.ParseFailed(error.code, limits) from error

    monkeypatch.setattr(parsing, "parse", read)


def version(number: int) -> str:
    """Several chunks, each of which names its version."""
    return "\n\n".join(
        f"# Part {n}\n\n" + f"The kettle of version {number} costs {n}. " * 20 for n in range(4)
    )


def upload(tenant: Tenant, content: str) -> Document:
    return make_document(tenant, content, filename=NAME, replace=True)


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """What each returns, all begun together."""
    gate = threading.Barrier(len(actions))

    def run(action: Callable[[], Any]) -> Any:
        try:
            gate.wait()
            return action()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(actions), initializer=row_security.enter_across) as pool:
        return list(pool.map(run, actions))


@contextmanager
def meanwhile(action: Callable[[], Any]) -> Iterator[list[Any]]:
    """Does it over and over in a thread while the block runs; what it returned each time. Raises what it raised."""
    over, seen = threading.Event(), []

    def run() -> None:
        with row_security.across():
            try:
                while not over.is_set():
                    seen.append(action())
            finally:
                connection.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield seen
        finally:
            over.set()
        running.result()


@pytest.fixture
def amid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Does something in the middle of an ingestion, once."""

    def install(action: Callable[[], Any]) -> None:
        waiting = [action]

        def embed(*args: Any, **kwargs: Any) -> Any:
            if waiting:
                at_once(waiting.pop())
            return embed_cached(*args, **kwargs)

        monkeypatch.setattr(ingest, "embed_cached", embed)

    return install


def left(tenant: Tenant) -> list[Document]:
    """The tenant's documents; and what is stored is theirs alone, and whole."""
    documents = list(Document.objects.for_tenant(tenant).order_by("pk"))
    assert_counts_are_exact(tenant)
    assert all(default_storage.exists(str(document.file)) for document in documents)
    ids = {document.pk for document in documents}
    assert set(DocumentText.objects.for_tenant(tenant).values_list("document", flat=True)) <= ids
    for document in documents:
        assert Chunk.objects.filter(document=document).count() == document.chunks
    assert Chunk.objects.for_tenant(tenant).count() == ChunkVector.objects.for_tenant(tenant).count()
    return documents


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_uploads_of_one_file_at_once_are_one_document_and_one_is_told_that_it_is_new(ours: Party) -> None:
    def post() -> tuple[int, str]:
        sent = SimpleUploadedFile("tea.txt", b"Tea at four. " * 50_000)
        response = ours.client.post("/api/documents", {"file": sent}, format="multipart")
        return response.status_code, response.json()["id"]

    answers = at_once(*[post] * THREADS)
    assert sorted(status for status, _ in answers) == [200] * (THREADS - 1) + [202]
    assert {pk for _, pk in answers} == {str(document.pk) for document in left(ours.tenant)}


def test_uploads_into_a_new_collection_at_once_make_it_once(tenant: Tenant) -> None:
    documents = at_once(
        *(partial(make_document, tenant, f"Text {number}", collection="new") for number in range(20))
    )
    assert Collection.objects.for_tenant(tenant).filter(name="new").count() == 1
    assert len({document.pk for document in documents}) == len(left(tenant)) == 20


def test_a_document_deleted_amid_its_ingestion_leaves_nothing(
    tenant: Tenant, amid: Any, tmp_path: Path
) -> None:
    document = upload(tenant, version(1))
    amid(lambda: indexing.remove(document))
    process_now(document.pk)
    assert left(tenant) == []
    assert not Term.objects.for_tenant(tenant).exists()
    assert files(tmp_path) == []


def test_a_deletion_and_an_upload_of_the_same_bytes_leave_the_document_whole_or_nothing(
    tenant: Tenant, tmp_path: Path
) -> None:
    for _ in range(4):
        old = processed(tenant, version(1), filename=NAME)
        _, new = at_once(partial(indexing.remove, old), lambda: upload(tenant, version(1)))
        there = left(tenant)
        assert there in ([], [new])
        assert len(files(tmp_path)) == len(there)
        for document in there:
            indexing.remove(document)


def test_each_search_during_replacements_sees_one_version_and_all_of_it(tenant: Tenant) -> None:
    processed(tenant, version(0), filename=NAME)

    def look() -> set[str]:
        hits = search.hybrid(Scope(tenant.pk), "What does the kettle cost?", top_k=50).hits
        assert len(hits) == 4
        return {hit.text.partition("version ")[2].split()[0] for hit in hits}

    with meanwhile(look) as seen:
        for number in range(1, 5):
            process_now(upload(tenant, version(number)).pk)
    assert all(len(versions) == 1 for versions in seen), seen
    assert len(seen) > 3
    assert len(left(tenant)) == 1


@pytest.mark.parametrize("round_", range(2))
def test_versions_that_are_made_ready_at_once_leave_the_latest(tenant: Tenant, round_: int) -> None:
    processed(tenant, version(0), filename=NAME)
    versions = [upload(tenant, version(number)) for number in range(1, 5)]
    at_once(*(partial(process_now, document.pk) for document in versions))
    assert left(tenant) == [versions[-1]]


def test_versions_that_come_and_are_made_ready_at_once_leave_one(tenant: Tenant) -> None:
    def replace(number: int) -> Document:
        document = upload(tenant, version(number))
        process_now(document.pk)
        return document

    for beginning in (0, 3):
        at_once(*(partial(replace, beginning + number) for number in range(3)))
        assert [document.status for document in left(tenant)] == ["ready"]


def test_a_version_whose_predecessor_is_being_deleted_is_all_that_is_left(tenant: Tenant) -> None:
    for number in range(3):
        old = processed(tenant, version(number), filename=NAME)
        new = upload(tenant, version(number + 10))
        at_once(partial(indexing.remove, old), partial(process_now, new.pk))
        assert left(tenant) == [new]
        indexing.remove(new)


def test_a_version_that_is_deleted_amid_its_ingestion_leaves_its_predecessor(
    tenant: Tenant, amid: Any
) -> None:
    old = processed(tenant, version(1), filename=NAME)
    new = upload(tenant, version(2))
    amid(lambda: indexing.remove(new))
    process_now(new.pk)
    assert left(tenant) == [old]


def test_going_back_amid_the_ingestion_of_a_newer_version_ends_that_one(tenant: Tenant, amid: Any) -> None:
    old = processed(tenant, version(1), filename=NAME)
    new = upload(tenant, version(2))
    amid(lambda: upload(tenant, version(1)))
    process_now(new.pk)
    assert left(tenant) == [old]


def test_going_back_at_the_moment_of_a_replacement_leaves_the_old_bytes_once(tenant: Tenant) -> None:
    for _ in range(3):
        processed(tenant, version(1), filename=NAME)
        new = upload(tenant, version(2))
        _, back = at_once(partial(process_now, new.pk), lambda: upload(tenant, version(1)))
        process_now(back.pk)  # where it is a new document, and does nothing else
        assert left(tenant) == [back]
        indexing.remove(back)


def test_reprocessing_amid_an_ingestion_is_refused_and_changes_nothing(tenant: Tenant, amid: Any) -> None:
    document, refused = upload(tenant, version(1)), []

    def reprocess() -> None:
        with pytest.raises(Conflict) as caught:
            states.queue_again(document)
        refused.append(caught.value.error_code)

    amid(reprocess)
    process_now(document.pk)
    assert refused == ["in_progress"]
    assert [found.status for found in left(tenant)] == ["ready"]


def test_a_failed_document_that_is_deleted_while_its_bytes_come_again_is_no_error(tenant: Tenant) -> None:
    for _ in range(3):
        failed = processed(tenant, " \n ", filename=NAME)
        assert failed.status == "failed"
        _, again = at_once(partial(indexing.remove, failed), lambda: upload(tenant, " \n "))
        assert left(tenant) in ([], [again])
        for document in left(tenant):
            indexing.remove(document)


def test_reprocessing_a_document_that_is_being_replaced_does_not_bring_it_back(tenant: Tenant) -> None:
    def reprocess(document: Document) -> None:
        try:
            states.queue_again(document)
        except (Conflict, NotFound):
            return
        process_now(document.pk)

    for number in range(3):
        old = processed(tenant, version(number), filename=NAME)
        new = upload(tenant, version(number + 10))
        at_once(partial(reprocess, old), partial(process_now, new.pk))
        assert left(tenant) == [new]
        indexing.remove(new)
