import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError, connection
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import Tenant
from documents import indexing, ingest, reweighing, states
from documents.confined import parsing
from documents.models import (
    Chunk,
    ChunkVector,
    CorpusStatistics,
    Document,
    DocumentText,
    EmbeddingSpace,
    Term,
)
from documents.structure import Failure
from ragsite.lib.inference import embedding_endpoint, vendor
from ragsite.lib.inference.embedding_cache import embed_cached
from tests.documents import pdfs, scans
from tests.documents.corpora import assert_counts_are_exact
from tests.makers import ingest as processed
from tests.makers import make_document
from tests.model_server import Behaviour, ModelServer

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "\n\n".join(f"Paragraph {n}. " + "The kettle is warm and the tea is served. " * 25 for n in range(300))


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def fresh(document: Document) -> Document:
    return Document.objects.get(pk=document.pk)


def process_in_thread(document: Document) -> threading.Thread:
    def run() -> None:
        try:
            ingest.process_now(document.pk)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs something between two batches of an ingestion, once."""

    def install(action: Any) -> None:
        real = embed_cached
        done: list[bool] = []

        def embed(*args: Any, **kwargs: Any) -> Any:
            if not done:
                done.append(True)
                action()
            return real(*args, **kwargs)

        monkeypatch.setattr(ingest, "embed_cached", embed)

    return install


def test_a_document_with_pages_that_nobody_could_read_is_ready_and_names_them(
    tenant: Tenant, settings: Settings
) -> None:
    settings.OCR_ENABLED = False
    content = pdfs.pdf(pdfs.Page(image=True), pdfs.Page(pdfs.flowing("The kettle is blue.")), pdfs.Page())
    document = processed(tenant, content, filename="m.pdf")
    assert (document.status, document.pages, document.unread_pages, document.ocr_pages) == (
        "ready",
        3,
        [1],
        0,
    )


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed")
def test_a_scanned_document_is_found_by_its_text_and_page(tenant: Tenant, tmp_path: Path) -> None:
    scan = scans.scanned(tmp_path, pdfs.Page(pdfs.flowing("The kettle stands on the stove.")))
    document = processed(tenant, pdfs.pdf(pdfs.Page(), scan), filename="scan.pdf")
    assert (document.status, document.unread_pages, document.ocr_pages) == ("ready", [], 1)
    assert (document.queue, document.attempts) == ("low", 1)  # it takes seconds
    chunk = Chunk.objects.get(document=document)
    assert (chunk.text, chunk.first_page) == ("The kettle stands on the stove.", 2)


def test_a_document_ends_ready_with_chunks_vectors_and_pages(tenant: Tenant) -> None:
    content = pdfs.pdf(pdfs.Page(pdfs.flowing("The kettle is blue.")), title="Manual")
    document = processed(tenant, content, filename="m.pdf")
    assert (document.status, document.stage, document.title) == ("ready", "", "Manual")
    assert (document.pages, document.chunks, document.error_code) == (1, 1, "")
    assert (document.claim, document.leased_until) == (None, None)
    assert document.ready_at is not None
    assert (document.progress_done, document.progress_total) == (1, 1)
    assert ChunkVector.objects.for_tenant(tenant).count() == Chunk.objects.for_tenant(tenant).count() == 1
    assert_counts_are_exact(tenant)


@pytest.mark.parametrize(
    ("content", "filename", "code"),
    [
        (b" \n\t\n", "a.txt", "no_text"),
        (b"%PDF-1.7\ngarbage", "a.pdf", "corrupt"),
        (pdfs.pdf(pdfs.Page()), "a.pdf", "no_text"),
    ],
)
def test_a_file_that_cannot_be_read_ends_failed_with_a_sentence(
    tenant: Tenant, content: bytes, filename: str, code: str
) -> None:
    document = processed(tenant, content, filename=filename)
    assert (document.status, document.error_code, document.chunks) == ("failed", code, 0)
    assert document.error_detail == parsing.SENTENCES[Failure(code)]


def test_progress_is_seen_while_it_goes_on(
    tenant: Tenant, between: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "BATCH", 4)
    document, seen = make_document(tenant, LONG[:10_000]), []
    between(lambda: seen.append(fresh(document)))
    ingest.process_now(document.pk)
    assert (seen[0].status, seen[0].stage) == ("processing", "embedding")
    assert seen[0].progress_total == fresh(document).chunks > 4


def test_deleting_during_ingestion_leaves_nothing(tenant: Tenant, between: Any) -> None:
    document = make_document(tenant, LONG[:5_000])
    between(lambda: indexing.remove(fresh(document)))
    ingest.process_now(document.pk)
    for model in (Document, DocumentText, Chunk, ChunkVector, Term):
        assert not model.objects.filter(tenant=tenant).exists(), model
    assert CorpusStatistics.objects.get(tenant=tenant).chunks == 0
    assert not default_storage.exists(str(document.file))


def test_an_attempt_that_was_overtaken_writes_nothing(tenant: Tenant, between: Any) -> None:
    document = make_document(tenant, LONG[:5_000])

    def overtake() -> None:
        Document.objects.filter(pk=document.pk).update(leased_until="2000-01-01T00:00Z")
        newer = states.claim(document.pk)
        assert newer is not None
        assert states.begin(newer)

    between(overtake)
    ingest.process_now(document.pk)
    assert (fresh(document).status, fresh(document).attempts) == ("processing", 2)
    assert not Chunk.objects.for_tenant(tenant).exists()


def test_the_heartbeat_keeps_a_slow_ingestion_from_being_taken_over(
    tenant: Tenant, settings: Settings, between: Any
) -> None:
    settings.INGEST_LEASE_SECONDS = 1
    document, claims = make_document(tenant, "text"), []

    def wait() -> None:
        for _ in range(6):
            threading.Event().wait(0.3)
            claims.append(states.claim(document.pk))

    between(wait)
    ingest.process_now(document.pk)
    assert claims == [None] * 6
    assert (fresh(document).status, fresh(document).attempts) == ("ready", 1)


def test_a_failed_reprocessing_takes_the_old_chunks_out(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = processed(tenant, "The kettle is blue.")

    def refuse(*_: Any, limits: Any) -> Any:
        raise parsing.ParseFailed(Failure.CORRUPT, limits)

    states.queue_again(document)
    monkeypatch.setattr(parsing, "parse", refuse)
    ingest.process_now(document.pk)
    assert (fresh(document).status, fresh(document).chunks) == ("failed", 0)
    assert not Chunk.objects.for_tenant(tenant).exists()
    assert_counts_are_exact(tenant)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [(Behaviour(status=401), "model_refused"), (Behaviour(fault="not_a_completion"), "model_failed")],
)
def test_a_failing_embedding_endpoint_gives_the_document_back_with_the_reason(
    tenant: Tenant, settings: Settings, behaviour: Behaviour, code: str
) -> None:
    with ModelServer(default=behaviour) as server:
        settings.EMBEDDING_BASE_URL, settings.EMBEDDING_API_KEY = server.url, "secret-key"
        settings.EMBEDDING_PATIENCE_SECONDS = 0
        EmbeddingSpace.objects.create(
            provider="openai", model="m", precision="", dimensions=384, state="active"
        )
        document = processed(tenant, "The kettle is blue.")
        assert (document.status, document.error_code, document.attempts) == ("queued", code, 0)
        assert document.error_detail
        assert "secret-key" not in document.error_detail
        assert states.claim(document.pk) is None  # not yet: it is given a rest
        Document.objects.update(not_before=Now())
        server.reset()
        ingest.process_now(document.pk)
    assert fresh(document).status == "ready", fresh(document).error_detail
    assert fresh(document).error_code == ""


def test_a_limited_endpoint_slows_a_batch_and_is_asked_once_for_all_of_it(
    tenant: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor, "BACKOFF", lambda _: 0.01)
    monkeypatch.setattr(embedding_endpoint, "PATIENT_BACKOFF", lambda _: 0.01)
    documents = [make_document(tenant, LONG[number * 100_000 :][:100_000]) for number in range(3)]
    with ModelServer() as server:
        server.script(*[Behaviour(status=429, retry_after="0")] * 7)
        settings.EMBEDDING_BASE_URL = server.url
        EmbeddingSpace.objects.create(
            provider="openai", model="m", precision="", dimensions=384, state="active"
        )
        ingest.process([taken for document in documents if (taken := states.claim(document.pk))])
    assert {(fresh(document).status, fresh(document).attempts) for document in documents} == {("ready", 1)}
    assert server.calls == 8
    assert len(server.requests[-1].body["input"]) > ingest.BATCH


def test_a_big_document_is_loaded_in_time(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    def quick(model: Any, texts: Any, **_: Any) -> Any:
        return np.full((len(texts), 384), 384**-0.5, dtype=np.float32)

    monkeypatch.setattr(ingest, "embed_cached", quick)
    document = processed(tenant, LONG * 3)
    assert document.status == "ready"
    assert document.chunks > 900


@pytest.mark.django_db(transaction=True)
def test_a_small_corpus_is_weighed_by_its_average_at_once(tenant: Tenant) -> None:
    processed(tenant, "Two words.")
    processed(
        tenant, "A much longer text about barley, frost, rain, harvests, fields and their farmers. " * 8
    )
    statistics = CorpusStatistics.objects.for_tenant(tenant).get()
    assert not reweighing.drifted(statistics)


# Postgres ----------------------------------------------------------------------------------------------------


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has Postgres run a statement, which it does not survive or finish, where chunks are embedded."""

    def plant(statement: str) -> None:
        def embed(*_: Any, **__: Any) -> Any:
            with connection.cursor() as cursor:
                cursor.execute(statement)

        monkeypatch.setattr(ingest, "embed_cached", embed)

    return plant


def test_an_outage_of_postgres_costs_a_document_no_attempt(tenant: Tenant, losing: Any) -> None:
    document = make_document(tenant, LONG)
    losing("SELECT pg_terminate_backend(pg_backend_pid())")
    for _ in range(4):
        ingest.process_now(document.pk)
        assert (fresh(document).status, fresh(document).attempts) == ("queued", 0)
        assert fresh(document).error_code == "unavailable"
        Document.objects.update(not_before=Now())


def test_of_a_batch_that_an_outage_ends_nobody_is_charged(tenant: Tenant) -> None:
    for number in range(3):
        make_document(tenant, f"Text {number}.")
    batch = states.claim_next(Document.Queue.DEFAULT)
    assert states.begin(batch[0])
    ingest._outlast(batch, OSError())
    left = Document.objects.values_list("status", "attempts", "claim").order_by().distinct()
    assert (len(batch), list(left)) == (3, [("queued", 0, None)])


def test_a_statement_that_takes_too_long_is_no_outage(tenant: Tenant, losing: Any) -> None:
    document = make_document(tenant, LONG)
    losing("SET statement_timeout = 10; SELECT pg_sleep(1)")
    with pytest.raises(OperationalError):
        ingest.process_now(document.pk)
    connection.close()
    assert (fresh(document).status, fresh(document).attempts) == ("processing", 1)
