"""Answers that are waited for: what their threads hold meanwhile, and what becomes of them when their clients leave."""

import threading
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from apikeys.models import Usage
from queries import recording
from queries.models import Query
from ragsite.lib.concurrency import rooms, waiting
from tests import site
from tests.lib.clients import asking
from tests.makers import Party
from tests.model_server import Behaviour, ModelServer
from tests.problems import problem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("kettle")]

QUESTION = "How long is the kettle's warranty?"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.02)


def ask(party: Party, **body: Any) -> Any:
    return party.client.post("/api/query", {"question": QUESTION, **body}, format="json")


def used() -> list[Usage]:
    client = recording.client()
    recording.prepare(client)
    while recording.drain(client, block_ms=None):
        pass
    client.close()
    return list(Usage.objects.across_tenants())


@pytest.mark.parametrize("stream", [True, False])
def test_who_waits_for_a_model_holds_no_connection(ours: Party, model: ModelServer, *, stream: bool) -> None:
    held: list[int] = []

    def reply(_: object) -> str:
        wrapper: Any = connections["default"]
        stats = wrapper.pool.get_stats()
        held.append(stats["pool_size"] - stats["pool_available"])
        return "It lasts three years [1]."

    model.reset(Behaviour(reply=reply))
    answer = ask(ours, stream=stream)
    if stream:
        b"".join(answer.streaming_content)
    assert held == [0]
    assert Query.objects.for_tenant(ours.tenant).get().status == "answered"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_while_the_model_thinks_ends_the_call(
    ours: Party, model: ModelServer, settings: Settings, *, stream: bool
) -> None:
    model.reset(Behaviour(fault="hang"))
    settings.ANSWER_TIMEOUT_SECONDS = 60
    with asking("text/event-stream" if stream else "application/json") as told:

        def leave() -> None:
            site.wait_for(lambda: model.calls and (told.written or not stream))
            told.client.close()

        threading.Thread(target=leave).start()
        answer = ask(ours, stream=stream)
        text = b"".join(answer.streaming_content if stream else [answer.content])
    assert b'"client_left"' in text  # to nobody
    row, (record,) = Query.objects.for_tenant(ours.tenant).get(), used()
    assert (row.status, row.error_code, record.status) == ("failed", "client_left", 499)
    assert row.cost_usd == record.cost_usd > 0
    assert model.calls == 1


@pytest.mark.parametrize("stream", [True, False])
def test_no_model_is_asked_for_a_client_that_has_left(
    ours: Party, model: ModelServer, *, stream: bool
) -> None:
    with asking() as told:
        told.client.close()
        answer = ask(ours, stream=stream)
        if stream:
            b"".join(answer.streaming_content)
    row, (record,) = Query.objects.for_tenant(ours.tenant).get(), used()
    assert (row.error_code, record.status) == ("client_left", 499)
    assert not record.cost_usd
    assert model.calls == 0


@pytest.mark.parametrize("stream", [True, False])
def test_more_than_have_room_are_refused(
    ours: Party, theirs: Party, model: ModelServer, settings: Settings, *, stream: bool
) -> None:
    settings.LONG_REQUESTS = 2
    with ExitStack() as waits:
        waits.enter_context(rooms.room(ours.tenant.pk))
        refused = ask(ours, stream=stream, use_cache=False)
        problem(refused, 503, "too_many_waiting")
        assert refused["Retry-After"] == "2"
        assert ask(theirs).status_code == 200  # one tenant does not take them all
    assert model.calls == 0  # theirs has no document
    assert not Query.objects.for_tenant(ours.tenant).exists()
    answer = ask(ours, stream=stream)
    assert answer.status_code == 200
    answer.close()
    assert not rooms._limit._held


def test_quotes_need_no_room(ours: Party, settings: Settings) -> None:
    settings.LONG_REQUESTS = 1
    with rooms.room(UUID(int=1)):
        assert ask(ours).status_code == 200
