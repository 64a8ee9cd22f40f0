"""One call to the model for all who ask the same at once: who leads, who waits, and what those who wait are told."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections
from pytest_django.fixtures import Settings

from accounts import corpus
from apikeys.callers import Caller
from queries.answers import Ask
from queries.caching import cache, flight
from queries.caching.cache import Name
from queries.caching.flight import Leader
from queries.caching.seals import Kept, seal
from queries.models import Query
from ragsite.lib import compact, redis_client
from ragsite.lib.concurrency import leases, waiting
from ragsite.lib.errors import BudgetSpent
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, fresh
from tests.model_server import Behaviour, ModelServer
from tests.outages import redis_refused, redis_waited_for
from tests.repeating import content, records
from tests.site import wait_for

pytestmark = [pytest.mark.django_db(transaction=True)]

QUESTION = "How long is the kettle's warranty?"


@pytest.fixture(autouse=True)
def redis_has_time() -> Iterator[None]:
    with redis_waited_for():  # whoever cannot have Redis asks alone
        yield


def ask(client: Any, **body: Any) -> Any:
    response = client.post("/api/query", {"question": QUESTION, **body}, format="json")
    return response.status_code, content(response)


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.mark.usefixtures("kettle")
def test_all_who_ask_at_once_cost_one_call(ours: Party, model: ModelServer) -> None:
    model.reset(Behaviour(reply="Three years [1].", delay=0.7))
    callers = [ours.client, ours.user_client, ours.business_client] * 4
    calls = [partial(ask, client, stream=number % 2 == 0) for number, client in enumerate(callers)]
    answers = at_once(calls)
    assert {status for status, _ in answers} == {200}
    assert all(b'"answer":"Three years [1]."' in body for _, body in answers)
    assert model.calls == 1
    made = sorted(Query.objects.for_tenant(ours.tenant).values_list("from_cache", "answer"))
    assert made == [(False, "Three years [1]."), *[(True, "Three years [1].")] * 11]
    assert sorted(used.from_cache for used in records()) == [False, *[True] * 11]
    counted = cache.statistics(fresh(ours.tenant))
    assert (counted["hits"], counted["misses"]) == (11, 1)


@pytest.mark.usefixtures("kettle")
def test_a_failure_of_the_model_is_told_to_all_who_wait(ours: Party, model: ModelServer) -> None:
    model.reset(Behaviour(status=400, delay=0.7))
    answers = at_once([lambda: ask(ours.client), lambda: ask(ours.user_client)] * 4)
    assert {status for status, _ in answers} == {502}
    assert model.calls == 1
    failed = Query.objects.for_tenant(ours.tenant).values_list("status", "error_code")
    assert list(failed) == [("failed", "model_refused")] * 8
    model.reset(Behaviour(reply="Three years [1]."))
    assert ask(ours.client)[0] == 200


@pytest.mark.usefixtures("kettle")
def test_a_leader_whose_client_leaves_is_succeeded(ours: Party, model: ModelServer) -> None:
    model.script(Behaviour(reply="word " * 500, drip=0.002), Behaviour(reply="Three years [1]."))
    led: Any = ours.client.post("/api/query", {"question": QUESTION, "stream": True}, format="json")
    chunks = iter(led.streaming_content)
    while not next(chunks).startswith(b"event: token"):
        pass
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.extend(at_once([lambda: ask(ours.client)] * 4)))
    waiting.start()
    time.sleep(0.3)
    assert model.calls == 1
    led.close()
    waiting.join()
    assert [status for status, _ in answers] == [200] * 4
    assert model.calls == 2
    assert all(b"Three years [1]." in body for _, body in answers)


@pytest.mark.usefixtures("kettle")
def test_an_answer_that_is_not_kept_is_told_all_the_same(ours: Party, model: ModelServer) -> None:
    type(ours.tenant).objects.filter(pk=ours.tenant.pk).update(cache_bytes=0)
    model.reset(Behaviour(reply="Three years [1].", delay=0.7))
    answers = at_once([lambda: ask(ours.client)] * 5)
    assert [status for status, _ in answers] == [200] * 5
    assert model.calls == 1
    assert ask(ours.client)[0] == 200
    assert model.calls == 2
    assert cache.statistics(fresh(ours.tenant))["entries"] == 0


# At the door -------------------------------------------------------------------------------------------------


def name_of(party: Party, question: str = QUESTION) -> Name:
    version = corpus.version(party.tenant.pk)
    assert version is not None
    return cache.name(Caller(tenant_id=party.tenant.pk), version, cache.digest(Ask(question)))


def lead(name: Name) -> Leader:
    leader = flight.join(name)
    assert isinstance(leader, Leader)
    return leader


def lease_of(name: Name) -> Any:
    return redis_client.client().get(f"flight:{name}")


def put(name: Name, lease: Any = None) -> UUID:
    query_id = uuid7()
    within = cache.Limits(seconds=60, room=100_000)
    cache.keep(name, within, query_id=query_id, body=compact.encoded({"answer": "yes"}), lease=lease)
    return query_id


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Nobody waits for longer than a second."""
    settings.ANSWER_TIMEOUT_SECONDS = 1
    monkeypatch.setattr(flight, "SLACK_SECONDS", 0.0)


def test_whoever_comes_after_the_landing_is_given_the_answer(ours: Party) -> None:
    name = name_of(ours)
    leader = lead(name)
    query_id = put(name, leader._given_back())
    found = flight.join(name)
    assert isinstance(found, Kept)
    assert (found.query_id, found.shared()) == (query_id, {"answer": "yes"})
    assert lease_of(name) is None


def test_one_leads_when_a_leader_has_died(ours: Party) -> None:
    name = name_of(ours)
    redis_client.client().set(f"flight:{name}", "of a process that was killed", px=500)
    seen = at_once([lambda: at_most(0.9, name)] * 6)
    assert sum(isinstance(leader, Leader) for leader in seen) == 1
    assert sum(isinstance(kept, Kept) for kept in seen) == 5


def at_most(seconds: float, name: Name) -> Leader | Kept:
    """Joins, and delivers after a while if it leads."""
    leader = flight.join(name)
    if isinstance(leader, Leader):
        time.sleep(seconds)
        put(name, leader._given_back())
    return leader


def test_a_failure_that_is_the_leaders_own_is_told_to_nobody(ours: Party) -> None:
    name = name_of(ours)
    led, seen = lead(name), []
    waiting = threading.Thread(target=lambda: seen.append(flight.join(name)))
    waiting.start()
    time.sleep(0.2)
    with pytest.raises(BudgetSpent), led.making():
        raise BudgetSpent("Your monthly budget is spent.")
    waiting.join()
    assert isinstance(seen[0], Leader)


def test_a_bug_frees_the_lease_at_once(ours: Party) -> None:
    name = name_of(ours)
    with pytest.raises(ZeroDivisionError), lead(name).making():
        _ = 1 / 0
    assert lease_of(name) is None


def test_a_leader_that_was_stopped_ends_nothing_of_the_next(ours: Party) -> None:
    name = name_of(ours)
    stopped = lead(name)
    redis_client.client().delete(f"flight:{name}")  # as its lease ends
    lead(name)
    held = lease_of(name)
    put(name, stopped._lease)
    assert lease_of(name) == held
    stopped.give_up()
    assert lease_of(name) == held


@pytest.mark.usefixtures("impatient")
def test_whoever_has_waited_for_too_long_asks_alone(ours: Party) -> None:
    name = name_of(ours)
    redis_client.client().set(f"flight:{name}", "of a leader that never ends")
    began = time.monotonic()
    leader = lead(name)
    assert time.monotonic() - began >= 1
    assert leader._lease is None
    leader.give_up()
    assert lease_of(name) == b"of a leader that never ends"


def test_without_redis_everybody_asks_alone(ours: Party) -> None:
    name = name_of(ours)
    with redis_refused():
        assert [lead(name)._lease for _ in range(5)] == [None] * 5


@pytest.mark.usefixtures("impatient")
def test_whoever_waits_holds_no_connection(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    name = name_of(ours)
    redis_client.client().set(f"flight:{name}", "somebody", px=300)
    held = []

    def paused(_: float) -> None:
        held.append(connection.connection)
        threading.Event().wait(0.05)

    monkeypatch.setattr(waiting, "sleep", paused)
    Query.objects.for_tenant(ours.tenant).count()
    lead(name).give_up()
    assert held
    assert set(held) == {None}


@pytest.mark.usefixtures("impatient")
def test_what_somebody_else_wrote_is_neither_an_answer_nor_an_error(ours: Party) -> None:
    name = name_of(ours)
    redis = redis_client.client()
    for forged in (b"x" * 99, seal("answer:other", uuid7(), b'{"answer": "forged"}')):
        redis.set(str(name), forged)
        leader = lead(name)
        assert lease_of(name) is not None
        token = lease_of(name).decode()
        redis.set(cache.outcome(name, token), seal(str(name), uuid7(), b'{"answer": "forged"}')[:-1])
        assert lead(name)._lease is None  # it waits for the leader
        query_id = put(name, leader._given_back())
        found = flight.join(name)
        assert isinstance(found, Kept)
        assert found.query_id == query_id
        redis.delete(str(name))


def test_a_lease_is_extended_while_its_leader_lives(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    leases._keepers.forget()
    name = name_of(ours)
    leader = lead(name)
    time.sleep(1.5)
    assert lease_of(name) is not None
    leader.give_up()
    wait_for(lambda: lease_of(name) is None, seconds=5)
