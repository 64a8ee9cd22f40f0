"""Streams with an Idempotency-Key."""

import gc
from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.makers import Party
from tests.model_server import Behaviour, ModelServer
from tests.repeating import ask, content, is_replay, kept, queries, records

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kettle")]


def test_a_stream_is_replayed_as_it_was(ours: Party, model: ModelServer) -> None:
    first = ask(ours.client, stream=True)
    events = content(first)
    assert events.rsplit(b"\n\n", 2)[1].startswith(b"event: done\n")
    again = ask(ours.client, stream=True)
    assert is_replay(again)
    assert again.streaming
    assert content(again) == events
    for name in ("Content-Type", "Cache-Control", "X-Accel-Buffering"):
        assert again[name] == first[name]
    assert (model.calls, queries()) == (1, 1)
    assert [float(used.cost_usd) > 0 for used in records()] == [True, False]
    assert ask(ours.client, stream=False).json()["code"] == "idempotency_mismatch"


def test_a_stream_is_kept_before_its_last_event_goes_out(ours: Party) -> None:
    for chunk in ask(ours.client, stream=True).streaming_content:
        assert (kept().get().state == "answered") is chunk.startswith(b"event: done")


def test_a_stream_that_failed_runs_again(ours: Party, model: ModelServer) -> None:
    model.script(Behaviour(status=401))
    assert b"event: error" in content(ask(ours.client, stream=True))
    assert not kept().exists()
    again = ask(ours.client, stream=True)
    assert not is_replay(again)
    assert b"event: done" in content(again)


def test_a_stream_that_cannot_begin_frees_its_key(ours: Party) -> None:
    assert ask(ours.client, stream=True, collection="nope").status_code == 404
    assert not kept().exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("events_read", [0, 3])
def test_a_stream_whose_client_left_runs_again(ours: Party, model: ModelServer, events_read: int) -> None:
    model.reset(Behaviour(reply="word " * 200, drip=0.0005))
    response = ask(ours.client, stream=True)
    chunks: Iterator[bytes] = iter(response.streaming_content)
    for _ in range(events_read):
        next(chunks)
    assert kept().get().state == "running"
    response.close()
    assert not kept().exists()
    model.reset()
    assert b"event: done" in content(ask(ours.client, stream=True))


def test_an_abandoned_stream_writes_nothing_when_garbage_is_collected(
    ours: Party, django_db_blocker: DjangoDbBlocker
) -> None:
    response = ask(ours.client, stream=True)
    next(iter(response.streaming_content))
    response.streaming_content, response._resource_closers = [], []
    with django_db_blocker.block():
        del response
        gc.collect()
    assert kept().get().state == "running"
