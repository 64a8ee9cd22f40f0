"""Uploads that take an earlier document's place: which goes when, and what is embedded anew."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from pytest_django import Settings

from accounts.models import Tenant
from documents import ingest, passages, states, versions
from documents.confined import parsing
from documents.ingest import process_now
from documents.models import Chunk, ChunkVector, Document, DocumentText
from documents.searching import search
from documents.searching.search import Scope
from documents.structure import Failure
from ragsite.lib.inference.embedding_cache import embed_cached
from tests.documents.corpora import assert_counts_are_exact
from tests.makers import ingest as processed
from tests.makers import make_document

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "prices.txt"
OLD, NEW, NEWEST = (f"The kettle costs {price} pounds." for price in ("ten", "twenty", "thirty"))
PARAGRAPHS = [
    f"Paragraph {n}. " + f"The kettle number {n} is warm and the tea is served. " * 17 for n in range(6)
]


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that a model was asked for, or the cache before it."""
    texts: list[str] = []

    def embed(model: Any, batch: Sequence[str], **options: Any) -> Any:
        texts.extend(batch)
        return embed_cached(model, batch, **options)

    monkeypatch.setattr(ingest, "embed_cached", embed)
    return texts


def upload(tenant: Tenant, text: str, *, replace: bool = True) -> Document:
    return make_document(tenant, text, filename=NAME, replace=replace)


def run(document: Document) -> None:
    process_now(document.pk)


def there(tenant: Tenant) -> list[Document]:
    return list(Document.objects.for_tenant(tenant).order_by("pk"))


def found(tenant: Tenant) -> list[str]:
    return [hit.text for hit in search.hybrid(Scope(tenant.pk), "What does the kettle cost?", top_k=10).hits]


def test_a_ready_version_takes_the_place_of_those_before_it_with_all_that_was_made_of_them(
    tenant: Tenant,
) -> None:
    old = [processed(tenant, text, filename=NAME) for text in (OLD, OLD + " Or so.")]
    others = [
        processed(tenant, "The kettle is red.", filename="colours.txt"),
        processed(tenant, "The kettle is hot.", filename=NAME, collection="other"),
    ]
    new = upload(tenant, NEW)
    assert there(tenant) == [*old, *others, new]
    run(new)
    assert there(tenant) == [*others, new]
    assert sorted(found(tenant)) == sorted(["The kettle is red.", "The kettle is hot.", NEW])
    assert Chunk.objects.count() == ChunkVector.objects.count() == DocumentText.objects.count() == 3
    assert_counts_are_exact(tenant)
    assert [default_storage.exists(str(document.file)) for document in (*old, *others, new)] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_without_asking_nothing_is_replaced(tenant: Tenant) -> None:
    documents = [processed(tenant, text, filename=NAME) for text in (OLD, NEW)]
    assert there(tenant) == documents


def test_another_tenants_document_of_the_name_stays(tenant: Tenant, theirs: Any) -> None:
    foreign = processed(theirs.tenant, OLD, filename=NAME)
    run(upload(tenant, NEW))
    assert there(theirs.tenant) == [foreign]


def test_a_replaced_file_that_another_document_is_made_of_stays(tenant: Tenant) -> None:
    processed(tenant, OLD, filename=NAME)
    elsewhere = processed(tenant, OLD, filename=NAME, collection="other")
    run(upload(tenant, NEW))
    assert default_storage.exists(str(elsewhere.file))


def test_a_version_that_fails_leaves_the_one_before_it(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = processed(tenant, OLD, filename=NAME), upload(tenant, NEW)

    def refuse(*_: Any, limits: Any) -> Any:
        raise parsing.ParseFailed(Failure.CORRUPT, limits)

    with monkeypatch.context() as patched:
        patched.setattr(parsing, "parse", refuse)
        run(new)
    assert [document.status for document in there(tenant)] == ["ready", "failed"]
    assert found(tenant) == [OLD]
    states.queue_again(new)
    run(new)
    assert there(tenant) == [new]
    assert old not in there(tenant)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_latest_upload_wins_whichever_is_ready_first(tenant: Tenant, order: Sequence[int]) -> None:
    documents = [processed(tenant, OLD, filename=NAME), upload(tenant, NEW), upload(tenant, NEWEST)]
    for index in order:
        run(documents[index])
    assert there(tenant) == [documents[2]]
    assert found(tenant) == [NEWEST]
    assert_counts_are_exact(tenant)


def test_a_version_that_was_overtaken_unseen_removes_itself(tenant: Tenant) -> None:
    """It came before the other, and was not there yet when that one looked for what it replaces."""
    run(upload(tenant, NEW))
    late = upload(tenant, OLD, replace=False)
    Document.objects.filter(pk=late.pk).update(created_at="2000-01-01T00:00Z")
    run(late)
    assert late not in there(tenant)
    assert found(tenant) == [NEW]
    assert_counts_are_exact(tenant)


def test_the_same_bytes_again_change_nothing(tenant: Tenant) -> None:
    new = upload(tenant, NEW)
    run(new)
    before = Document.objects.filter(pk=new.pk).values().get()
    assert upload(tenant, NEW) == new
    assert Document.objects.filter(pk=new.pk).values().get() == before


def test_the_bytes_of_a_replaced_version_are_a_new_document(tenant: Tenant) -> None:
    old = processed(tenant, OLD, filename=NAME)
    run(upload(tenant, NEW))
    back = upload(tenant, OLD)
    assert back != old
    run(back)
    assert there(tenant) == [back]
    assert found(tenant) == [OLD]


def test_bytes_whose_document_goes_at_that_very_moment_are_a_new_document(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, newer = upload(tenant, OLD), upload(tenant, NEW)
    real = versions.take_over

    def too_late(document: Document, name: str) -> bool:
        Document.objects.filter(pk=old.pk).delete()
        return real(document, name)

    monkeypatch.setattr(versions, "take_over", too_late)
    back = upload(tenant, OLD)
    assert there(tenant) == [newer, back]
    assert back.pk != old.pk


def test_going_back_while_a_newer_version_waits_ends_that_one(tenant: Tenant) -> None:
    old, new = processed(tenant, OLD, filename=NAME), upload(tenant, NEW)
    assert upload(tenant, OLD) == old
    run(new)
    assert there(tenant) == [old]
    assert found(tenant) == [OLD]


def test_going_back_to_a_version_that_waits_makes_it_the_latest(tenant: Tenant) -> None:
    first, second = upload(tenant, OLD), upload(tenant, NEW)
    assert upload(tenant, OLD) == first
    run(second)
    assert found(tenant) == [NEW]
    run(first)
    assert there(tenant) == [first]
    assert found(tenant) == [OLD]


def test_the_bytes_of_a_document_of_another_name_take_the_place_under_the_new_name(tenant: Tenant) -> None:
    processed(tenant, OLD, filename=NAME)
    other = processed(tenant, NEW, filename="draft.txt")
    assert upload(tenant, NEW) == other
    assert [document.filename for document in there(tenant)] == [NAME]
    assert found(tenant) == [NEW]


def test_only_chunks_that_changed_are_embedded(tenant: Tenant, embedded: list[str]) -> None:
    old = processed(tenant, "\n\n".join(PARAGRAPHS), filename=NAME)
    before = {passages.context(row.chunk): list(row.vector) for row in vectors(old)}
    assert len(before) == len(embedded) == 6
    embedded.clear()
    new = upload(
        tenant, "\n\n".join([*PARAGRAPHS[:3], PARAGRAPHS[3].replace("tea", "coffee"), *PARAGRAPHS[4:]])
    )
    run(new)
    assert len(embedded) == 1
    assert "coffee" in embedded[0]
    after = {passages.context(row.chunk): list(row.vector) for row in vectors(new)}
    kept = before.keys() & after.keys()
    assert len(kept) == 5
    assert all(after[text] == before[text] for text in kept)


def test_processing_again_embeds_nothing_anew(tenant: Tenant, embedded: list[str]) -> None:
    document = processed(tenant, "\n\n".join(PARAGRAPHS), filename=NAME)
    embedded.clear()
    states.queue_again(document)
    run(document)
    assert embedded == []
    assert len(vectors(document)) == 6


def vectors(document: Document) -> Any:
    return ChunkVector.objects.filter(chunk__document=document).select_related("chunk__document")
