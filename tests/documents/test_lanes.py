"""Neither large files, nor hanging parsers, nor one tenant's many files keep another's small file waiting."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_django import Settings

from accounts.models import Tenant
from apikeys import tasks as key_tasks
from documents import chunking, indexing, ingest, intake, reading, states, tasks
from documents.confined import parsing
from documents.models import Chunk, Document
from documents.structure import Failure, ParsedDocument
from queries import tasks as query_tasks
from ragsite.lib.errors import ModelRefused, Unavailable
from tests.documents.corpora import assert_counts_are_exact
from tests.makers import Party, make_document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture(autouse=True)
def quick_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(model: Any, texts: Any, **_: Any) -> Any:
        return np.full((len(texts), 384), 384**-0.5, dtype=np.float32)

    monkeypatch.setattr(ingest, "embed_cached", embed)


Parser = Callable[..., ParsedDocument]


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> Callable[[Parser], None]:
    """Reads files in this process, in another way."""

    def install(parse: Parser) -> None:
        monkeypatch.setattr(parsing, "parse", parse)

    return install


def plain(path: Path, *_: Any, **__: Any) -> ParsedDocument:
    return ParsedDocument(path.read_text())


def hanging(path: Path, *_: Any, limits: Any, **__: Any) -> ParsedDocument:
    """Takes as long as it may, in a clock that runs faster."""
    text = path.read_text()
    if text.startswith("hang"):
        time.sleep(limits.seconds / 10)
        raise parsing.ParseFailed(Failure.TIMED_OUT, limits)
    return ParsedDocument(text)


def fresh(document: Document) -> Document:
    return Document.objects.get(pk=document.pk)


def make_many(tenant: Tenant, count: int) -> None:
    """Documents of one stored file: what an upload of each costs is not asked here."""
    first = make_document(tenant, "A note of many.")
    rows = [
        Document(
            tenant=tenant,
            collection=first.collection,
            title="note",
            filename="note.txt",
            media_type=first.media_type,
            bytes=first.bytes,
            sha256=f"{number:064}",
            file=first.file,
        )
        for number in range(count - 1)
    ]
    Document.objects.bulk_create(rows)


def statuses(tenant: Tenant) -> dict[str, int]:
    found = Document.objects.for_tenant(tenant).values_list("status", flat=True)
    return {status: list(found).count(status) for status in set(found)}


def test_one_tenants_many_files_keep_anothers_one_waiting_for_two_batches_at_most(
    ours: Party, theirs: Party, settings: Settings, parser: Callable[[Parser], None]
) -> None:
    parser(plain)
    settings.QUICK_BYTES = 10_000
    huge = [make_document(ours.tenant, f"{number} " * 10_000) for number in range(2)]
    make_many(ours.tenant, 500)
    tasks.process()
    small = make_document(theirs.tenant, "Tea at four.")
    tasks.process()
    tasks.process()
    assert fresh(small).status == "ready"
    assert statuses(ours.tenant)["ready"] <= 3 * states.BATCH_DOCUMENTS
    assert {fresh(document).queue for document in huge} == {"low"}
    for _ in range(500 // states.BATCH_DOCUMENTS + 1):
        tasks.process()
    assert statuses(ours.tenant) == {"ready": 500, "queued": 2}
    tasks.process_large()
    tasks.process_large()
    assert statuses(ours.tenant) == {"ready": 502}
    assert_counts_are_exact(ours.tenant)


def test_files_that_hang_are_left_to_the_other_lane_and_hold_nobody_up(
    ours: Party,
    theirs: Party,
    settings: Settings,
    parser: Callable[[Parser], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parser(hanging)
    settings.PARSE_SECONDS, settings.QUICK_PARSE_SECONDS = 4, 1
    monkeypatch.setattr(ingest, "READING_SECONDS", 0.15)
    for number in range(6):
        make_document(ours.tenant, f"hang {number}")
    good = make_document(theirs.tenant, "Tea at four.")
    began = time.monotonic()
    tasks.process()
    tasks.process()
    assert fresh(good).status == "ready"
    assert time.monotonic() - began < 3
    moved = Document.objects.filter(queue="low")
    assert {(document.status, document.attempts) for document in moved} == {("queued", 0)}
    untouched = Document.objects.filter(queue="default", status="queued")
    assert {document.attempts for document in untouched} == {0}
    for _ in range(20):
        tasks.process()
        tasks.process_large()
    assert set(
        Document.objects.filter(filename="note.txt").values_list("status", "error_code", "attempts")
    ) == {
        ("failed", "timed_out", 1),
        ("ready", "", 1),
    }


def test_a_file_of_many_chunks_is_left_to_the_other_lane(
    tenant: Tenant, settings: Settings, parser: Callable[[Parser], None]
) -> None:
    parser(plain)
    settings.QUICK_CHUNKS = 3
    document = make_document(tenant, "A paragraph of a long document. \n\n" * 200)
    tasks.process()
    assert (fresh(document).queue, fresh(document).attempts, fresh(document).status) == ("low", 0, "queued")
    tasks.process_large()
    assert (fresh(document).status, fresh(document).attempts) == ("ready", 1)
    assert set(fresh(document).timings) == {"waiting", "parsing", "chunking", "embedding", "storing"}


def test_a_text_that_must_have_many_chunks_is_left_to_the_other_lane_uncut(
    tenant: Tenant, settings: Settings, parser: Callable[[Parser], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cutting is linear, and yet takes half a minute of four megabytes of the shortest paragraphs."""
    parser(plain)
    settings.QUICK_CHUNKS = 3
    monkeypatch.setattr(chunking, "chunk", lambda _: pytest.fail("it was cut"))
    document = make_document(tenant, "a\n\n" * 2_000)
    tasks.process()
    assert (fresh(document).queue, fresh(document).attempts, fresh(document).status) == ("low", 0, "queued")


def test_what_the_site_owes_everybody_waits_behind_no_document() -> None:
    """A scan may take OCR_SECONDS, and the lane for large files has one process; retention has a law behind it."""
    chores = (query_tasks.prune, query_tasks.make_partitions, key_tasks.fold_tally, tasks.sweep)
    assert {getattr(chore, "lane", "") for chore in chores} == {"critical"}


def test_where_a_file_begins_is_told_by_its_size(settings: Settings) -> None:
    assert intake.lane(settings.QUICK_BYTES) == "default"
    assert intake.lane(settings.QUICK_BYTES + 1) == "low"
    assert reading.limits(Document.Queue.DEFAULT).seconds < reading.limits().seconds


def test_one_that_fails_takes_no_other_with_it(tenant: Tenant, parser: Callable[[Parser], None]) -> None:
    def parse(path: Path, *_: Any, limits: Any) -> ParsedDocument:
        if path.read_text() == "bad":
            raise parsing.ParseFailed(Failure.CORRUPT, limits)
        return plain(path)

    parser(parse)
    good, bad, other = (make_document(tenant, text) for text in ("good", "bad", "other"))
    tasks.process()
    assert [fresh(document).status for document in (good, bad, other)] == ["ready", "failed", "ready"]


@pytest.mark.parametrize(("error", "ready"), [(ModelRefused, 2), (Unavailable, 0)])
def test_a_text_that_the_model_refuses_is_given_back_alone_and_a_model_that_is_away_gives_back_all(
    tenant: Tenant,
    parser: Callable[[Parser], None],
    monkeypatch: pytest.MonkeyPatch,
    error: type[ModelRefused | Unavailable],
    ready: int,
) -> None:
    def embed(model: Any, texts: list[str], **_: Any) -> Any:
        if any("refused" in text for text in texts):
            raise error("No.")
        return np.full((len(texts), 384), 384**-0.5, dtype=np.float32)

    parser(plain)
    monkeypatch.setattr(ingest, "embed_cached", embed)
    for text in ("good", "refused", "other"):
        make_document(tenant, text)
    tasks.process()
    assert statuses(tenant).get("ready", 0) == ready
    assert statuses(tenant)["queued"] == 3 - ready
    assert set(Document.objects.filter(status="queued").values_list("attempts", "error_code")) == {
        (0, error.code)
    }
    Document.objects.filter(status="queued").update(
        refused_since="2020-01-01T00:00Z", not_before="2020-01-01T00:00Z"
    )
    tasks.process()
    assert (
        Document.objects.get(status="failed").error_code == error.code
        if ready
        else statuses(tenant)["failed"] == 3
    )


def test_what_is_deleted_or_overtaken_during_a_batch_is_left_out(
    tenant: Tenant, parser: Callable[[Parser], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    parser(plain)
    kept, deleted, overtaken = (make_document(tenant, text) for text in ("kept", "deleted", "overtaken"))

    def embed(model: Any, texts: list[str], **_: Any) -> Any:
        indexing.remove(fresh(deleted))
        Document.objects.filter(pk=overtaken.pk).update(leased_until="2000-01-01T00:00Z")
        assert states.claim(overtaken.pk)
        return np.full((len(texts), 384), 384**-0.5, dtype=np.float32)

    monkeypatch.setattr(ingest, "embed_cached", embed)
    tasks.process()
    assert fresh(kept).status == "ready"
    assert fresh(overtaken).status == "processing"
    assert [chunk.text for chunk in Chunk.objects.for_tenant(tenant)] == ["kept"]
    assert_counts_are_exact(tenant)
