"""The record of use: one row a request, and totals that add up."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from redis import Redis

from apikeys import admission, keys, tally, usage
from apikeys.models import APIKey, Usage
from apikeys.spending import Spent
from apikeys.usage import Entry
from queries import recording
from ragsite.lib import redis_client
from ragsite.lib.identifiers import floor, uuid7
from tests.makers import Party, make_key
from tests.outages import redis_refused
from tests.problems import problem


@pytest.fixture
def recorder(db: None) -> Iterator[Redis]:
    redis = recording.client()
    recording.prepare(redis)
    yield redis
    redis.close()


def drain(redis: Redis) -> None:
    while recording.drain(redis, block_ms=None):
        pass


def rows(party: Party) -> list[Usage]:
    return list(Usage.objects.for_tenant(party.tenant).order_by("id"))


def entry(party: Party, **fields: Any) -> Entry:
    wanted: dict[str, Any] = {"id": uuid7(), "tenant_id": party.tenant.pk, "endpoint": "/api/query", "method": "POST",
                              "status": 200, "milliseconds": 5.0, "key_id": party.key.pk}  # fmt: skip
    return Entry(**(wanted | fields))


def test_every_kind_of_answer_is_one_row(ours: Party, recorder: Redis) -> None:
    _, raw = make_key(ours.tenant, rate_limit=1, burst=2)
    limited = Client(HTTP_X_API_KEY=raw)
    sent = [
        limited.get("/api/keys/self"),
        limited.get("/api/keys"),  # 403
        limited.get("/api/keys/self"),  # 429
        ours.client.post("/api/query", {"top_k": "x"}, format="json"),  # 400
        ours.client.get(f"/api/history/{uuid7()}"),  # 404
        ours.client.get("/api/query"),  # 405
        ours.user_client.get("/api/history"),
        ours.user_client.get("/api/usage"),  # 403
        Client(HTTP_X_API_KEY="rag_" + "0" * 32).get("/api/history"),  # 401: nobody's
        ours.client.get("/api/nothing"),  # no view, no caller
    ]
    drain(recorder)
    kept = {str(row.pk): row for row in rows(ours)}
    assert len(kept) == 8
    for response in sent[:8]:
        row = kept[response["X-Request-ID"]]
        assert (row.status, row.success) == (response.status_code, response.status_code < 400)
        assert row.milliseconds > 0
        assert not row.endpoint.endswith(str(row.pk))
    assert [kept[response["X-Request-ID"]].status for response in sent[:8]] == [
        200,
        403,
        429,
        400,
        404,
        405,
        200,
        403,
    ]
    assert kept[sent[4]["X-Request-ID"]].endpoint == "/api/history/<uuid:pk>"
    assert kept[sent[6]["X-Request-ID"]].user_id == ours.user.pk
    assert kept[sent[6]["X-Request-ID"]].key_id is None
    assert kept[sent[3]["X-Request-ID"]].user_id is None


@pytest.mark.parametrize("why", ["scope", "method"])
def test_refusal_is_not_recorded_as_the_hit_that_it_might_have_been(
    ours: Party, recorder: Redis, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    digest = sha256(b"question").hexdigest()
    monkeypatch.setattr("queries.api.QueryView.digest", lambda *_: (digest, "Why?"))
    client = redis_client.client()
    client.hset(f"corpus:{ours.tenant.pk}", mapping={"version": 3, "pending": 3})
    client.set(f"answer:{ours.tenant.pk}:all:3:{digest}", b"s" * 16 + str(ours.key.pk).encode() + b"{}")
    _, raw = make_key(ours.tenant, scopes=["ingest"] if why == "scope" else ["query"])
    caller = Client(HTTP_X_API_KEY=raw)
    response = caller.get("/api/query") if why == "method" else caller.post("/api/query")
    drain(recorder)
    (row,) = rows(ours)
    assert (row.status, row.from_cache) == (response.status_code, False)
    assert response.status_code == {"scope": 403, "method": 405}[why]


def test_record_delivered_twice_is_written_once(ours: Party) -> None:
    one, other = entry(ours), entry(ours, status=500)
    usage.write([one, one, other])
    usage.write([other, one])
    assert sorted(row.status for row in rows(ours)) == [200, 500]
    shown = ours.business_client.get(f"/api/keys/{ours.key.pk}").json()
    assert shown["usage_count"] == 2
    assert shown["last_used_at"] is not None


def test_stream_and_row_say_the_same(ours: Party) -> None:
    spent = Spent(prompt_tokens=7, completion_tokens=9, cost_usd=Decimal("0.001234"))
    original = entry(ours, spent=spent, from_cache=True, milliseconds=12.5, user_id=ours.user.pk)
    assert usage.from_stream(usage.to_stream(original)) == original
    usage.write([original])
    (row,) = rows(ours)
    assert (row.prompt_tokens, row.completion_tokens, row.cost_usd) == (7, 9, Decimal("0.001234"))


def test_what_does_not_fit_is_cut_and_holds_up_nobody(ours: Party, recorder: Redis) -> None:
    huge = Spent(prompt_tokens=10**15, completion_tokens=10**15, cost_usd=Decimal(10**9))
    usage.record(entry(ours, method="X" * 20, endpoint="/" + "x" * 300, spent=huge))
    usage.record(entry(ours))
    Client(HTTP_X_API_KEY=ours.raw).generic("ABCDEFGHIJKLMNOPQRST", "/api/history")
    drain(recorder)
    assert len(rows(ours)) == 3
    assert {row.method for row in rows(ours)} == {"X" * 10, "POST", "ABCDEFGHIJ"}


def test_empty_batch(db: None) -> None:
    usage.write([])


def test_a_thousand_records_are_few_statements(
    ours: Party, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    entries = [entry(ours) for _ in range(1_000)]
    with django_assert_max_num_queries(4):
        usage.write(entries)
    assert len(rows(ours)) == 1_000


def test_without_redis_the_record_is_written_before_the_answer_goes_out(ours: Party) -> None:
    admission.buckets.forget()
    with redis_refused():
        response = ours.client.get("/api/keys/self")
    assert response.status_code == 200
    assert [str(row.pk) for row in rows(ours)] == [response["X-Request-ID"]]


class TakenMeanwhile(set[str]):
    """Empty by the time that anything is taken from it: another thread was quicker."""

    def pop(self) -> str:
        self.clear()
        return super().pop()

    def discard(self, name: object) -> None:
        self.clear()
        super().discard(name)


def test_two_threads_may_find_the_same_counters_stale(
    ours: Party, recorder: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_stale", TakenMeanwhile(["spent:nobody:2026-01"]))
    recorded = entry(ours)
    usage.record(recorded)
    drain(recorder)
    assert recorded.id in {row.pk for row in rows(ours)}


# Totals -----------------------------------------------------------------------------------------------------------


def at(days_ago: int) -> UUID:
    moment = datetime.now(UTC).replace(hour=0, minute=0, second=1) - timedelta(days=days_ago)
    return UUID(int=floor(moment).int | uuid7().int & 0xFFFFFFFFFFFF)


@pytest.fixture
def week(ours: Party, theirs: Party) -> Party:
    entries = [
        entry(ours, id=at(0), milliseconds=10),
        entry(ours, id=at(0), milliseconds=20, spent=Spent(prompt_tokens=100, completion_tokens=5, cost_usd=Decimal("0.25"))),
        entry(ours, id=at(0), milliseconds=30, status=429),
        entry(ours, id=at(0), milliseconds=40.3, from_cache=True),
        entry(ours, id=at(3), milliseconds=100, status=502, endpoint="/api/search"),
        entry(ours, id=at(3), key_id=None, user_id=ours.user.pk, milliseconds=200),
        entry(ours, id=at(40)),
        entry(theirs, id=at(0)),
    ]  # fmt: skip
    usage.write(entries)
    return ours


def test_totals_of_a_key(week: Party) -> None:
    response = week.business_client.get(f"/api/keys/{week.key.pk}/usage")
    body = response.json()
    days = body.pop("days")
    assert body == {
        "requests": 5, "success": 3, "errors": 2, "limited": 1, "from_cache": 1, "prompt_tokens": 100,
        "completion_tokens": 5, "cost_usd": 0.25, "p50_ms": 30.0, "p95_ms": 88.1,
    }  # fmt: skip
    assert [day["requests"] for day in days] == [1, 4]
    assert set(days[0]) == set(body) | {"date"}
    assert days[1]["date"] == datetime.now(UTC).date().isoformat()
    assert (days[1]["p50_ms"], days[0]["p95_ms"]) == (25.0, 100.0)


def test_totals_of_a_tenant(week: Party) -> None:
    body = week.business_client.get("/api/usage").json()
    assert (body["requests"], body["errors"]) == (6, 2)
    assert {row["endpoint"]: row["requests"] for row in body["endpoints"]} == {
        "/api/query": 5,
        "/api/search": 1,
    }
    assert {row["key_id"]: row["requests"] for row in body["keys"]} == {str(week.key.pk): 5, None: 1}
    assert sum(day["requests"] for day in body["days"]) == 6
    assert week.business_client.get("/api/usage?days=1").json()["requests"] == 4
    assert week.business_client.get("/api/usage?days=60").json()["requests"] == 7


def test_nothing_used_yet(ours: Party) -> None:
    body = ours.business_client.get("/api/usage").json()
    assert body.pop("budget")["spent_usd"] == 0
    assert body == {
        "requests": 0, "success": 0, "errors": 0, "limited": 0, "from_cache": 0, "prompt_tokens": 0, "completion_tokens": 0,
        "cost_usd": 0.0, "p50_ms": None, "p95_ms": None, "days": [], "endpoints": [], "keys": [],
    }  # fmt: skip


def test_a_line_of_rotated_keys_is_counted_as_one(week: Party) -> None:
    successor, raw = keys.rotate(week.key)
    usage.write([entry(week, key_id=successor.pk)])
    assert week.business_client.get(f"/api/keys/{successor.pk}/usage").json()["requests"] == 6
    assert week.business_client.get(f"/api/keys/{week.key.pk}/usage").json()["requests"] == 6
    shown = Client(HTTP_X_API_KEY=raw).get("/api/keys/self").json()
    assert shown["usage"]["requests"] == 6
    assert (shown["id"], shown["rate_limit"], shown["rotated_from"]) == (
        str(successor.pk),
        60_000,
        str(week.key.pk),
    )
    assert "key" not in shown


@pytest.mark.django_db(transaction=True)
def test_use_is_complete_within_two_seconds(ours: Party, recorder: Redis) -> None:
    stop = threading.Event()

    def record() -> None:
        while not stop.is_set():
            recording.drain(recorder, block_ms=100)
        connection.close()

    thread = threading.Thread(target=record)
    thread.start()
    try:
        for _ in range(20):
            ours.client.get("/api/history")
        started = time.monotonic()
        while ours.business_client.get(f"/api/keys/{ours.key.pk}").json()["usage_count"] < 20:
            assert time.monotonic() - started < 2
            time.sleep(0.02)
        body = ours.business_client.get(f"/api/keys/{ours.key.pk}/usage").json()
        assert (body["requests"], body["success"]) == (20, 20)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("order", [(True, False), (False, True)], ids=["hit first", "miss first"])
@pytest.mark.parametrize("together", [True, False])
def test_a_hit_that_was_none_gives_way_to_what_the_request_says(
    ours: Party, order: tuple[bool, bool], *, together: bool
) -> None:
    identifier = uuid7()
    both = [entry(ours, id=identifier, status=200 if hit else 503, from_cache=hit) for hit in order]
    for batch in [both] if together else [[one] for one in both]:
        usage.write(batch)
    usage.write(both)  # and once more, as after a crash
    [row] = rows(ours)
    assert (row.status, row.success, row.from_cache) == (503, False, False)
    key: Any = tally.counted(APIKey.objects.for_tenant(ours.tenant)).get()
    assert key.uses == 1


def test_what_nobody_would_record_is_not_answered(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OperationalError("the connection is closed")

    with redis_refused():
        monkeypatch.setattr(usage, "write", gone)
        response = ours.client.get("/api/keys/self")
    problem(response, 503, "database")
    assert response["Retry-After"] == "5"
    assert "closed" not in response.content.decode()
