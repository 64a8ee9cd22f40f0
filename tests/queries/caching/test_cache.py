"""The answer cache: who shares an answer, what ends one, and what is taken for one."""

import json
from collections.abc import Callable
from itertools import combinations
from secrets import token_bytes
from typing import Any
from uuid import UUID

import pytest
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks, DjangoDbBlocker

from accounts.models import Tenant
from apikeys.callers import Caller
from apikeys.models import Usage
from documents import indexing
from documents.models import Collection, Document
from queries import recording
from queries.answers import Ask
from queries.caching import cache
from queries.caching.seals import seal, unseal
from queries.models import Query
from ragsite.lib import redis_client
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, fresh, ingest, make_key, with_key

QUESTION = "How long is the kettle's warranty?"

Capture = DjangoCaptureOnCommitCallbacks


def ask(client: Any, question: str = QUESTION, **body: Any) -> dict[str, Any]:
    response = client.post("/api/query", {"question": question, **body}, format="json")
    assert response.status_code == 200, response.content
    answer: dict[str, Any] = response.json()
    return answer


def records(tenant: Tenant) -> list[Usage]:
    client = recording.client()
    recording.prepare(client)
    while recording.drain(client, block_ms=None):
        pass
    client.close()
    return list(Usage.objects.for_tenant(tenant).order_by("id"))


# Names -------------------------------------------------------------------------------------------------------


def test_no_two_different_requests_share_a_name() -> None:
    """1,152 requests that differ in one thing or more, all pairs of them."""
    tenants, versions = [uuid7(), uuid7()], [1, 2, 11]
    asks = [
        Ask(
            question,
            top_k=top_k,
            collection=collection,
            document_ids=documents,
            metadata=metadata,
            route=route,
        )
        for question in ("how many?", "how  many", "10² m", "102 m")
        for top_k in (None, 5)
        for collection in (None, "a")
        for documents in (None, (), (tenants[0],))
        for metadata in ({}, {"a": 1}, {"a": "1"})
        for route in ("auto", "documents")
    ]
    names = {
        str(cache.name(Caller(tenant_id=tenant, rights="all"), version, cache.digest(ask)))
        for tenant in tenants[:1]
        for version in versions[:1]
        for ask in asks
    } | {
        str(cache.name(Caller(tenant_id=tenant, rights=rights), version, cache.digest(asks[0])))
        for tenant in tenants
        for version in versions
        for rights in ("all", "a" * 64, "b" * 64)
    }
    assert len(names) == len(asks) + 2 * 3 * 3 - 1
    assert len(list(combinations(names, 2))) > 1_000


@pytest.mark.parametrize(
    ("one", "other"),
    [("How long?", "  how \t LONG? "), ("caf\u00e9", "cafe\u0301"), ("Straße", "STRAßE")],
)
def test_spacing_and_case_are_no_difference(one: str, other: str) -> None:
    assert cache.digest(Ask(one)) == cache.digest(Ask(other))


@pytest.mark.parametrize(
    ("one", "other"), [("10²", "102"), ("Maße", "Masse"), ("ﬁ", "fi"), ("a b", "ab"), ("C++", "C")]
)
def test_what_reads_differently_is_a_difference(one: str, other: str) -> None:
    assert cache.digest(Ask(one)) != cache.digest(Ask(other))


# Through the API ---------------------------------------------------------------------------------------------

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("kettle")
def test_a_cached_answer_costs_no_query(
    ours: Party, django_assert_num_queries: DjangoAssertNumQueries, django_db_blocker: DjangoDbBlocker
) -> None:
    first = ask(ours.client)
    with django_assert_num_queries(0):
        ask(ours.client)
    with django_db_blocker.block():  # any use of Postgres raises
        again = ask(ours.client, QUESTION.upper())
    own = {"id", "question", "from_cache", "usage", "timings_ms", "response_time_ms"}
    assert {name: again[name] for name in again if name not in own} == {
        name: first[name] for name in first if name not in own
    }
    assert list(map(bool, (first["from_cache"], again["from_cache"]))) == [False, True]
    assert again["question"] == QUESTION.upper()
    assert again["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0}


@pytest.mark.usefixtures("kettle")
def test_a_hit_copies_its_answer_into_the_history(ours: Party) -> None:
    first, again = ask(ours.client), ask(ours.client, QUESTION.upper())
    assert [used.from_cache for used in records(ours.tenant)] == [False, True]
    original, copy = Query.objects.for_tenant(ours.tenant).order_by("id")
    assert [str(original.pk), str(copy.pk)] == [first["id"], again["id"]]
    assert (copy.question, copy.from_cache, copy.key_id) == (QUESTION.upper(), True, ours.key.pk)
    assert (copy.answer, copy.sources, copy.status) == (original.answer, original.sources, original.status)
    assert ours.client.get(f"/api/history/{again['id']}").json()["answer"] == first["answer"]


@pytest.mark.usefixtures("kettle")
def test_a_hit_whose_original_was_pruned_is_recorded_all_the_same(ours: Party) -> None:
    ask(ours.client)
    Query.objects.for_tenant(ours.tenant).delete()
    again = ask(ours.client)
    assert len(records(ours.tenant)) == 2
    row = Query.objects.for_tenant(ours.tenant).get()
    assert (str(row.pk), row.question, row.answer, row.from_cache) == (again["id"], QUESTION, "", True)


@pytest.mark.usefixtures("kettle")
@pytest.mark.parametrize("other", ["user_client", "business_client"])
def test_all_who_may_read_everything_share(ours: Party, other: str) -> None:
    ask(ours.client)
    assert ask(getattr(ours, other))["from_cache"] is True


@pytest.mark.usefixtures("kettle")
def test_other_tenants_and_other_rights_do_not_share(ours: Party, theirs: Party) -> None:
    ask(ours.client)
    assert ask(theirs.client)["answer"] == "The documents do not say."
    empty = Collection.objects.create(tenant=ours.tenant, name="empty")
    _, raw = make_key(ours.tenant, owner=ours.business, collection_ids=[empty.pk])
    restricted = ask(with_key(raw))
    assert (restricted["from_cache"], restricted["sources"]) == (False, [])
    assert ask(ours.client)["from_cache"] is True


@pytest.mark.usefixtures("kettle")
@pytest.mark.parametrize(
    "change",
    [{"top_k": 1}, {"collection": "default"}, {"metadata": {}}, {"use_cache": False}, {"route": "documents"}],
)
def test_other_parameters_are_other_answers(ours: Party, change: dict[str, Any]) -> None:
    ask(ours.client)
    assert ask(ours.client, **change)["from_cache"] is (change == {"metadata": {}})


def upload(tenant: Tenant, document: Document) -> None:
    ingest(tenant, "The warranty of the kettle lasts seven years now.", filename="new.txt")


def delete(tenant: Tenant, document: Document) -> None:
    indexing.remove(document)


def forget(tenant: Tenant, document: Document) -> None:
    cache.forget(tenant.pk)


@pytest.mark.parametrize("change", [upload, delete, forget])
def test_a_change_of_the_corpus_ends_its_answers_and_no_others(
    ours: Party,
    theirs: Party,
    kettle: Document,
    change: Callable[[Tenant, Document], None],
    django_capture_on_commit_callbacks: Capture,
) -> None:
    before = ask(ours.client)
    ask(theirs.client)
    with django_capture_on_commit_callbacks(execute=True):
        change(ours.tenant, kettle)
    after = ask(ours.client)
    assert after["from_cache"] is False
    if change is not forget:
        assert after["answer"] != before["answer"]
    assert ask(ours.client)["from_cache"] is True
    assert ask(theirs.client)["from_cache"] is True


@pytest.mark.usefixtures("kettle")
def test_settings_changed_in_the_admin_end_answers(
    ours: Party, admin_client: Any, django_capture_on_commit_callbacks: Capture
) -> None:
    ask(ours.client)
    fields = {"name": "Ours", "slug": "ours", "active": "on", "top_k": 1, "distance_threshold": 0.75}
    with django_capture_on_commit_callbacks(execute=True):
        saved = admin_client.post(
            f"/admin/accounts/tenant/{ours.tenant.pk}/change/",
            {**fields, "retention_days": 365, "prompt": ""},
        )
    assert saved.status_code == 302, saved.content
    answer = ask(ours.client)
    assert (answer["from_cache"], len(answer["sources"])) == (False, 1)


@pytest.mark.usefixtures("kettle")
def test_while_a_change_is_being_committed_nothing_is_cached(ours: Party) -> None:
    ask(ours.client)
    redis_client.client().hset(
        f"corpus:{ours.tenant.pk}", "pending", 99
    )  # as another process does before its commit
    for _ in range(2):
        assert ask(ours.client)["from_cache"] is False
        assert ask(ours.user_client)["from_cache"] is False


@pytest.mark.usefixtures("kettle")
def test_an_answer_outlives_a_quiet_minute(ours: Party) -> None:
    ask(ours.client)
    redis_client.client().delete(f"corpus:{ours.tenant.pk}")  # as its time to live does
    assert ask(ours.client)["from_cache"] is True
    assert [used.from_cache for used in records(ours.tenant)] == [False, True]
    assert Query.objects.for_tenant(ours.tenant).filter(from_cache=True, key=ours.key).count() == 1


def poisons(name: str, good: bytes, other: bytes) -> list[bytes]:
    """200 values that are no answer under this name."""
    forged = json.dumps({"answer": "forged", "sources": []}).encode()
    wrong_shapes = [
        json.dumps(value).encode() for value in (None, [], 7, "text", {}, {"answer": 1}, [forged.decode()])
    ]
    owner = str(uuid7()).encode()
    values = [b"", b"\0", other, forged, good + b" ", good[:16] + owner + forged, good[:52] + forged]
    values += [token_bytes(16) + owner + shape for shape in wrong_shapes]
    values += [good[:length] for length in range(0, len(good), max(1, len(good) // 80))]
    flipped = range(0, len(good), max(1, len(good) // 80))
    values += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in flipped]
    values += [token_bytes(size) for size in range(20, 80)]
    values += [seal(f"{name}x", UUID(owner.decode()), forged), seal(name[:-1], uuid7(), forged)]
    return [value for value in dict.fromkeys(values) if value != good]


def test_poisoned_values_are_no_answers() -> None:
    good = seal("answer:a", uuid7(), b'{"answer": "true", "sources": []}')
    other = seal("answer:b", uuid7(), b'{"answer": "true", "sources": []}')
    found = poisons("answer:a", good, other)
    assert len(found) >= 200
    assert [value for value in found if unseal("answer:a", value) is not None] == []
    assert unseal("answer:a", good) is not None


@pytest.mark.usefixtures("kettle")
def test_poisoned_values_are_misses_and_recorded_as_misses(ours: Party) -> None:
    redis = redis_client.client()
    true = ask(ours.client)["answer"]
    (name,) = redis.scan_iter("answer:*")
    ask(ours.client, "When is tea served?")
    (other,) = set(redis.scan_iter("answer:*")) - {name}
    good, strange = redis.get(name), redis.get(other)
    assert isinstance(good, bytes)
    assert isinstance(strange, bytes)
    values = poisons(name.decode(), good, strange)
    chosen = values[:: len(values) // 20]
    for value in chosen:
        redis.set(name, value)
        answer = ask(ours.client)
        assert (answer["from_cache"], answer["answer"]) == (False, true)
    assert not any(used.from_cache for used in records(ours.tenant))
    assert Query.objects.for_tenant(ours.tenant).filter(from_cache=True).count() == 0
    counted = cache.statistics(fresh(ours.tenant))
    assert (counted["hits"], counted["misses"]) == (0, 2 + len(chosen))


@pytest.mark.usefixtures("kettle")
def test_the_numbers_of_a_cache_and_its_end(
    ours: Party, theirs: Party, django_capture_on_commit_callbacks: Capture
) -> None:
    ask(theirs.client)
    for client in (ours.client, ours.client, ours.user_client, ours.client):
        ask(client)
    numbers = ours.business_client.get("/api/cache").json()
    assert numbers["bytes"] > 100
    assert [numbers[name] for name in ("hits", "misses", "hit_rate", "entries")] == [3, 1, 0.75, 1]
    with django_capture_on_commit_callbacks(execute=True):
        assert ours.business_client.delete("/api/cache").status_code == 204
    assert ours.business_client.get("/api/cache").json()["entries"] == 0
    assert ask(ours.client)["from_cache"] is False
    assert ask(theirs.client)["from_cache"] is True
