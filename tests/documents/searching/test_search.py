from typing import Any

import pytest

from accounts.models import Tenant
from documents import ingest as ingesting
from documents.models import Chunk, Collection, CorpusStatistics, Document
from documents.searching import search
from documents.searching.search import Scope
from tests.makers import Party, ingest

SMALL_CORPUS = {
    "The warranty of the kettle lasts three years.": "guides",
    "Order KX-2291 was shipped from Rotterdam.": "orders",
    "Tea is served at four in the garden.": "guides",
}


@pytest.fixture
def small(tenant: Tenant) -> dict[str, Document]:
    return {text: ingest(tenant, text, collection=name) for text, name in SMALL_CORPUS.items()}


def found(scope: Scope, question: str = "kettle warranty", top_k: int = 10) -> list[str]:
    return [hit.text for hit in search.hybrid(scope, question, top_k=top_k).hits]


def collection_ids(tenant: Tenant, *names: str) -> tuple[Any, ...]:
    return tuple(Collection.objects.for_tenant(tenant).filter(name__in=names).values_list("pk", flat=True))


pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def test_words_and_meaning_both_find(tenant: Tenant, small: dict[str, Document]) -> None:
    scope = Scope(tenant.pk)
    assert found(scope, "KX2291")[0].startswith("Order KX-2291")
    assert found(scope, "How long is the boiler's guarantee?")[0].startswith("The warranty")
    assert len(found(scope, "zzz")) == 3
    assert len(found(scope, "zzz", top_k=2)) == 2


def test_a_scope_holds(tenant: Tenant, small: dict[str, Document]) -> None:
    guides = collection_ids(tenant, "guides")
    order = small["Order KX-2291 was shipped from Rotterdam."]
    assert len(found(Scope(tenant.pk, guides), "KX-2291 order")) == 2
    assert found(Scope(tenant.pk, None, (order.pk,))) == [
        text for text in SMALL_CORPUS if text.startswith("Order")
    ]
    assert found(Scope(tenant.pk, guides, (order.pk,))) == []
    assert found(Scope(tenant.pk, ())) == []
    assert found(Scope(tenant.pk, None, ())) == []
    assert found(Scope(tenant.pk, metadata={"no": "such"})) == []


def test_metadata_filters_by_containment(tenant: Tenant) -> None:
    ingest(tenant, "Tea in March.", metadata={"year": 2024, "tags": ["a", "b"]})
    ingest(tenant, "Tea in April.", metadata={"year": 2025, "tags": ["b"]})
    assert found(Scope(tenant.pk, metadata={"year": 2024}), "tea") == ["Tea in March."]
    assert found(Scope(tenant.pk, metadata={"tags": ["a"]}), "tea") == ["Tea in March."]
    assert len(found(Scope(tenant.pk, metadata={"tags": ["b"]}), "tea")) == 2
    assert found(Scope(tenant.pk, metadata={"year": "2024"}), "tea") == []


def test_tenants_never_mix(ours: Party, theirs: Party) -> None:
    ingest(ours.tenant, "The kettle is ours.")
    document = ingest(theirs.tenant, "The kettle is theirs, and has a warranty.", collection="secret")
    foreign = collection_ids(theirs.tenant, "secret")
    assert found(Scope(ours.tenant.pk)) == ["The kettle is ours."]
    assert found(Scope(ours.tenant.pk, foreign)) == []
    assert found(Scope(ours.tenant.pk, None, (document.pk,))) == []
    assert not search.hybrid(Scope(ours.tenant.pk), "warranty", top_k=5).idf  # nothing is told of their words


def test_a_tenant_without_documents_finds_nothing(tenant: Tenant) -> None:
    assert search.hybrid(Scope(tenant.pk), "tea", top_k=5).hits == []


def test_hits_tell_where_they_stand_and_are_best_first(tenant: Tenant, small: dict[str, Document]) -> None:
    hits = search.hybrid(Scope(tenant.pk), "kettle warranty", top_k=3).hits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    best = hits[0]
    assert (best.document_id, best.collection) == (small[best.text].pk, "guides")
    assert small[best.text].decoded.text[best.start : best.end] == best.text
    assert best.cosine > 0.3
    assert best.bm25 > hits[1].bm25 == 0


def test_reprocessed_documents_stay_searchable_until_they_are_replaced(tenant: Tenant) -> None:
    from documents import states

    document = ingest(tenant, "The kettle is blue.")
    states.queue_again(document)
    assert found(Scope(tenant.pk)) == ["The kettle is blue."]
    ingesting.process_now(document.pk)
    assert found(Scope(tenant.pk)) == ["The kettle is blue."]
    assert Chunk.objects.for_tenant(tenant).count() == 1
    assert CorpusStatistics.objects.get(tenant=tenant).chunks == 1
