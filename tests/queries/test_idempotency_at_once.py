"""Two requests with one Idempotency-Key at once, and processes that die."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from django.db import connections
from django.db.models import F
from django.utils import timezone

from apikeys import idempotency
from tests.makers import Party
from tests.model_server import Behaviour, ModelServer
from tests.repeating import ask, is_replay, kept, queries, records

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kettle")]


def at_once(*calls: Any) -> list[Any]:
    """Each call in a thread of its own, a moment after the one before it."""

    def run(position: int) -> Any:
        sleep(0.3 * position)
        try:
            return calls[position]()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, range(len(calls))))


@pytest.mark.django_db(transaction=True)
def test_two_at_once_run_once(ours: Party, model: ModelServer) -> None:
    model.reset(Behaviour(delay=1.5))
    calls = [lambda: ask(ours.client)] * 3
    first, *others = at_once(*calls, lambda: ask(ours.client, top_k=1))
    assert others.pop().json()["code"] == "idempotency_mismatch"
    assert [other.content for other in others] == [first.content] * 2
    assert [is_replay(answer) for answer in (first, *others)] == [False, True, True]
    assert (model.calls, queries(), len(records())) == (1, 1, 4)


@pytest.mark.django_db(transaction=True)
def test_whoever_waits_too_long_is_told_when_to_come_again(
    ours: Party, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.2)
    model.reset(Behaviour(delay=1.5))
    first, early = at_once(lambda: ask(ours.client), lambda: ask(ours.client))
    assert (first.status_code, early.status_code) == (200, 409)
    assert early.json()["code"] == "idempotency_in_progress"
    assert int(early["Retry-After"]) == idempotency.RETRY_AFTER_SECONDS
    assert ask(ours.client).content == first.content
    assert (model.calls, queries()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_whoever_waits_runs_when_the_first_fails(ours: Party, model: ModelServer) -> None:
    model.script(Behaviour(delay=1.0, status=400), Behaviour(reply="Three years [1]."))
    first, second = at_once(lambda: ask(ours.client), lambda: ask(ours.client))
    assert (first.status_code, second.status_code, is_replay(second)) == (502, 200, False)
    assert is_replay(ask(ours.client))
    assert model.calls == 2


@pytest.fixture
def killed(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of ours is running in a process that was killed: nothing frees its key."""
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "release", lambda _: None)
        patch.setattr(idempotency, "keep", lambda *_: None)
        ask(ours.client)
    assert kept().get().state == "running"


@pytest.mark.usefixtures("killed")
def test_a_killed_request_runs_again_when_its_lease_has_ended(ours: Party) -> None:
    waiting = ask(ours.client)
    assert (waiting.status_code, waiting.json()["code"]) == (409, "idempotency_in_progress")
    kept().update(leased_until=timezone.now())
    assert ask(ours.client, top_k=1).json()["code"] == "idempotency_mismatch"
    again = ask(ours.client)
    assert (again.status_code, is_replay(again)) == (200, False)
    assert ask(ours.client).content == again.content


@pytest.mark.usefixtures("killed")
def test_a_lease_outlasts_the_model(ours: Party, settings: Any) -> None:
    row = kept().annotate(lease=F("leased_until") - F("created_at")).get()
    assert row.lease == timedelta(seconds=settings.ANSWER_TIMEOUT_SECONDS + 30)
