"""The malformed corpus, read as uploads are: a third of the mutations here, all of it over HTTP by `make chaos`."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import Tenant
from documents.models import Document, DocumentText
from documents.structure import Limits
from ragsite.lib.errors import AppError
from tests.documents import malformed, readings
from tests.documents.conftest import Hostile, Patched, children, servers
from tests.documents.malformed import Sample
from tests.documents.readings import Reading
from tests.makers import ingest

LIMITS = Limits(seconds=2.0, memory_bytes=256 << 20)
# One of each kind of trouble, through the whole of ingestion.
THROUGH = (
    "text/nul.txt", "text/surrogates.txt", "text/every-byte.txt", "text/blank.md", "text/one-byte.pdf",
    "text/front-nul.md", "pdf/bomb-content.pdf", "pdf/tree-loop.pdf", "pdf/count-huge.pdf", "pdf/unstorable.pdf",
    "pdf/locked.pdf", "pdf/form-in-itself.pdf", "pdf/pdf-and-zip.pdf", "office/bomb-1gib.docx", "office/entities-laughs.docx",
    "office/entities-external.html", "office/names.docx", "office/entities-laughs.xlsx", "markup/deep.html", "markup/nested.eml",
    "markup/path.eml", "markup/nul.csv", "name/0", "name/3", "name/7", "name/10",
)  # fmt: skip


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with readings.watched(monkeypatch):
        yield


def sample(name: str) -> Sample:
    return next(made for made in malformed.samples() if made.name == name)


def test_the_corpus_is_large_and_always_the_same() -> None:
    mutated = [made.content for made in malformed.mutated()]
    assert mutated == [made.content for made in malformed.mutated()]
    names = {made.name for made in malformed.samples()}
    assert len(names) >= 450
    assert set(THROUGH) <= names


def test_every_malformed_file_ends_ready_or_with_a_code_within_its_limits() -> None:
    corpus = [*malformed.made(), *islice(malformed.mutated(), 0, None, malformed.MUTATIONS_EACH)]
    seen = readings.read_all(corpus, LIMITS)
    assert readings.faults(seen, LIMITS) == []
    assert len(seen) >= 300
    assert {"ready", "corrupt", "encrypted", "no_text"} <= {reading.code for reading in seen}
    assert children() == servers()


@pytest.mark.django_db(transaction=True)
def test_malformed_uploads_end_ready_or_failed_and_what_is_stored_can_be(
    tenant: Tenant, settings: Settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    settings.PARSE_SECONDS, settings.PARSE_MEMORY_BYTES = 3, 256 << 20
    by_name = {made.name: made for made in malformed.made()}
    ended = {name: end_of(by_name[name], tenant) for name in THROUGH}
    assert {name: code for name, code in ended.items() if code not in malformed.CODES} == {}
    assert {"ready", "encrypted"} <= set(ended.values())
    assert {"out_of_memory", "timed_out"} & set(ended.values())  # whichever limit a busy machine meets first
    for document in Document.objects.for_tenant(tenant):
        assert document.status in {"ready", "failed"}
        assert "/" not in document.filename
        assert document.filename.isprintable()
        stored = DocumentText.objects.for_tenant(tenant).filter(document=document)
        assert stored.exists() == (document.status == "ready"), document.filename


def end_of(made: Sample, tenant: Tenant) -> str:
    try:
        document = ingest(tenant, made.content, filename=made.filename)
    except AppError as refused:
        return refused.error_code
    return document.error_code or document.status


# What would go wrong without a limit, and that it is seen here.


def test_a_reader_without_its_memory_limit_is_found_out(patched: Patched) -> None:
    patched("sandbox.limit_resources = lambda limits: None")
    reading = readings.read(sample("pdf/bomb-content.pdf"), LIMITS)
    assert "MiB of" in readings.faults([reading], LIMITS)[0]


def test_a_reader_that_passes_nul_on_is_found_out(patched: Patched) -> None:
    patched("from documents.formats import decoding; decoding.storable = lambda text: text")
    reading = readings.read(sample("text/nul-late.txt"), LIMITS)
    assert "parser_crashed" in readings.faults([reading], LIMITS)[0]


def test_a_reader_that_fails_without_a_verdict_is_found_out(hostile: Hostile) -> None:
    hostile("raise RecursionError")
    reading = readings.read(Sample("x", "x.txt", b"x"), LIMITS)
    assert reading == Reading("x", "parser_crashed", reading.seconds, reading.peak_bytes, said=reading.said)
    assert "RecursionError" in readings.faults([reading], LIMITS)[0]
