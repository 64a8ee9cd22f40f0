"""Streamed answers: the order of events, what may go out in them, and what is on record before they end."""

import gc
import json
from collections.abc import Iterable
from typing import Any, cast

import pytest
from django.http import StreamingHttpResponse
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from apikeys.models import Usage
from queries import recording
from queries.caching import cache
from queries.models import Query
from ragsite.lib import row_security
from tests.makers import Party, fresh
from tests.model_server import Behaviour, ModelServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kettle")]

Event = tuple[str, Any]
QUESTION = "How long is the kettle's warranty?"


def ask(client: APIClient, **body: Any) -> StreamingHttpResponse:
    response = client.post("/api/query", {"question": QUESTION, "stream": True, **body}, format="json")
    return cast("StreamingHttpResponse", response)


def read(chunks: Iterable[bytes]) -> list[Event]:
    """The events, each checked for its form."""
    events = []
    for block in b"".join(chunks).decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def events_of(response: StreamingHttpResponse) -> list[Event]:
    assert response.status_code == 200
    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "no-store"
    assert response["X-Accel-Buffering"] == "no"
    return read(cast("Iterable[bytes]", response.streaming_content))


def said(events: list[Event]) -> str:
    return "".join(data["text"] for name, data in events if name == "token")


def records() -> list[Usage]:
    """The usage rows, after everything on the stream was written."""
    client = recording.client()
    recording.prepare(client)
    while recording.drain(client, block_ms=None):
        pass
    client.close()
    return list(Usage.objects.across_tenants().order_by("id"))


def test_sources_come_first_then_tokens_then_the_whole(ours: Party) -> None:
    events = events_of(ask(ours.client))
    names = [name for name, _ in events]
    assert names == sorted(names, key=["source", "token", "done"].index)
    whole = events[-1][1]
    assert [data for name, data in events if name == "source"] == whole["sources"]
    assert said(events) == whole["answer"]
    assert "three years" in whole["answer"]
    plain = ours.client.post("/api/query", {"question": QUESTION, "use_cache": False}, format="json").json()
    assert {**plain, "id": 0, "timings_ms": 0, "response_time_ms": 0} == {
        **whole,
        "id": 0,
        "timings_ms": 0,
        "response_time_ms": 0,
    }


def test_invented_citations_are_not_even_shown_for_a_moment(ours: Party, model: ModelServer) -> None:
    model.reset(Behaviour(reply="Three years [1] [77] and [1, 88] more [99]."))
    events = events_of(ask(ours.client, top_k=1))
    assert said(events) == events[-1][1]["answer"] == "Three years [1] and [1] more."
    assert "77" not in json.dumps([data for name, data in events if name == "token"])


def test_a_stream_is_on_record_before_it_ends(ours: Party, model: ModelServer) -> None:
    response = ask(ours.client)
    for chunk in cast("Iterable[bytes]", response.streaming_content):
        if chunk.startswith(b"event: done"):
            break
    whole = json.loads(chunk.split(b"data: ")[1])
    row = Query.objects.for_tenant(ours.tenant).get()
    assert (str(row.pk), row.answer, row.sources) == (whole["id"], whole["answer"], whole["sources"])
    (used,) = records()
    assert str(used.pk) == whole["id"]
    assert (used.status, used.endpoint, used.from_cache) == (200, "/api/query", False)
    assert used.completion_tokens == whole["usage"]["completion_tokens"] == row.completion_tokens == 4
    assert float(used.cost_usd) == whole["usage"]["cost_usd"] > 0


@pytest.mark.parametrize("caller", ["client", "user_client"])
def test_a_cached_answer_streams_too(ours: Party, caller: str) -> None:
    first = events_of(ask(getattr(ours, caller)))
    again = events_of(ask(getattr(ours, caller)))
    assert [name for name, _ in again] == [name for name, _ in first]
    assert again[:-1] == first[:-1]
    assert (first[-1][1]["from_cache"], again[-1][1]["from_cache"]) == (False, True)
    assert again[-1][1]["id"] != first[-1][1]["id"]
    assert [used.from_cache for used in records()] == [False, True]
    assert (
        Query.objects.for_tenant(ours.tenant).filter(from_cache=True, answer=first[-1][1]["answer"]).count()
        == 1
    )


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Behaviour(status=401), 502, "model_refused"),
        (Behaviour(status=429, retry_after="99"), 503, "unavailable"),
        (Behaviour(reply="word " * 40, fault="reset", drip=0.00001), 502, "model_failed"),
    ],
)
def test_a_failure_after_the_sources_is_an_error_event(
    ours: Party, model: ModelServer, fault: Behaviour, status: int, code: str
) -> None:
    model.reset(fault)
    events = events_of(ask(ours.client))
    name, problem = events[-1]
    assert name == "error"
    assert "done" not in [name for name, _ in events]
    if status == 502 and fault.fault == "reset":
        assert problem["status"] in (502, 503)
    else:
        assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == str(records()[0].pk)
    assert records()[0].status == problem["status"]
    row = Query.objects.for_tenant(ours.tenant).get()
    assert (row.status, row.error_code) == ("failed", problem["code"])


def test_a_bug_after_the_sources_tells_nothing(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("queries.generating.generation._extract", fails)
    name, problem = events_of(ask(ours.client))[-1]
    assert (name, problem["status"]) == ("error", 500)
    assert "secret" not in json.dumps(problem)
    assert records()[0].status == 500


def test_an_error_before_the_first_event_is_an_ordinary_problem(ours: Party) -> None:
    response: Any = ask(ours.client, collection="no such")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert [used.status for used in records()] == [404]


@pytest.mark.django_db(transaction=True)  # leaving ends the request, and with it the connection
@pytest.mark.parametrize("read_first", [False, True])
def test_a_client_that_leaves_ends_the_call_and_is_on_record(
    ours: Party, model: ModelServer, *, read_first: bool
) -> None:
    model.reset(Behaviour(reply="word " * 500, drip=0.001))
    response = ask(ours.client)
    if read_first:
        chunks = iter(cast("Iterable[bytes]", response.streaming_content))
        while not next(chunks).startswith(b"event: token"):
            pass
    response.close()
    row = Query.objects.for_tenant(ours.tenant).get()
    assert (row.status, row.error_code) == ("failed", "client_left")
    assert [used.status for used in records()] == [499]
    assert model.calls == int(read_first)


def test_a_cached_answer_has_the_bytes_of_a_fresh_one(ours: Party) -> None:
    """Made, found on the long way, and on the short one."""
    question = {"question": f"{QUESTION} \u2028 “Really?”"}
    sent = [ours.client.post("/api/query", question, format="json").content for _ in range(3)]
    streamed = b"".join(cast("Iterable[bytes]", ask(ours.client, **question).streaming_content))
    sent.append(streamed.split(b"event: done\ndata: ")[1].removesuffix(b"\n\n"))
    assert [json.loads(body)["from_cache"] for body in sent] == [False, True, True, True]
    assert len({without_its_own(body) for body in sent}) == 1


def without_its_own(body: bytes) -> bytes:
    """With nothing in the place of what each request has for itself."""
    answer = json.loads(body)
    for name in ("id", "from_cache", "usage", "timings_ms", "response_time_ms"):
        field = f'"{name}":{json.dumps(answer[name], separators=(",", ":"))}'.encode()
        assert body.count(field) == 1, (field, body)
        body = body.replace(field, b"")
    return body


def test_a_stream_fills_the_cache_that_whole_answers_come_from(ours: Party) -> None:
    events_of(ask(ours.client))
    assert ours.client.post("/api/query", {"question": QUESTION}, format="json").json()["from_cache"] is True
    assert cache.statistics(fresh(ours.tenant))["entries"] == 1


def test_accepting_event_streams_is_no_reason_for_refusal(ours: Party) -> None:
    headers = {"accept": "text/event-stream"}
    body = {"question": QUESTION}
    streamed: Any = ours.client.post("/api/query", {**body, "stream": True}, format="json", headers=headers)
    assert events_of(streamed)[-1][0] == "done"
    whole = ours.client.post("/api/query", body, format="json", headers=headers)
    assert whole["Content-Type"] == "application/json"
    wrong = ours.client.post("/api/query", {}, format="json", headers=headers)
    assert (wrong.status_code, wrong["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("read", [True, False])
def test_a_stream_leaves_no_tenant_to_the_thread_that_sends_it(ours: Party, *, read: bool) -> None:
    with row_security.nobody():
        response = ask(ours.client)
        if read:
            events_of(response)
        response.close()
        assert not row_security.is_set()


def test_an_abandoned_stream_writes_nothing_when_garbage_is_collected(
    ours: Party, model: ModelServer, django_db_blocker: DjangoDbBlocker
) -> None:
    """It is collected in any thread, in the middle of another statement: to write then waits for that for ever."""
    response: Any = ask(ours.client)
    response.streaming_content, response._resource_closers = [], []
    with django_db_blocker.block():
        del response
        gc.collect()
    assert not Query.objects.for_tenant(ours.tenant).exists()
