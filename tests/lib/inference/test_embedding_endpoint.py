"""Endpoints that limit their callers, that are down for a while, and that take fewer texts than others."""

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ragsite.lib import redis_client
from ragsite.lib.errors import AppError, ModelFailed, ModelRefused, ModelTimeout, Unavailable
from ragsite.lib.inference import embedding_pace, vendor_errors
from ragsite.lib.inference.embedding_endpoint import embed
from ragsite.lib.inference.embeddings import EmbeddingModel
from tests.model_answers import vector_of
from tests.model_server import Behaviour, ModelServer

PATIENCE = 5.0


def make_model(model_server: ModelServer, **changes: Any) -> EmbeddingModel:
    wishes = {"provider": "openai", "model": "embedding-1", "precision": "fp32", "dimensions": 64}
    return EmbeddingModel(**{**wishes, "base_url": model_server.url, **changes})


def sizes(model_server: ModelServer) -> list[int]:
    return [len(request.body["input"]) for request in model_server.requests]


@pytest.fixture(params=["with redis", "without redis"])
def redis_or_none(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "without redis":
            patch.setattr(redis_client, "client", lambda: Redis(port=1, retry=Retry(NoBackoff(), 0)))
            patch.setattr(redis_client, "_breaker", redis_client.new_breaker())
        yield


@pytest.mark.parametrize("status", [429, 500, 503])
def test_patience_outlasts_an_endpoint_that_is_limited_or_down(
    model_server: ModelServer, status: int
) -> None:
    model_server.script(*[Behaviour(status=status)] * 4)  # more than the tries of one call
    assert embed(make_model(model_server), ["a"], patience_seconds=PATIENCE).shape == (1, 64)
    assert model_server.calls == 5


def test_a_question_does_not_wait(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(status=429, retry_after="30"))
    began = time.monotonic()
    with pytest.raises(Unavailable) as limited:
        embed(make_model(model_server), ["a"])
    assert time.monotonic() - began < 2
    assert limited.value.headers == {"Retry-After": "30"}


def test_patience_ends(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(status=429))
    with pytest.raises(Unavailable):
        embed(make_model(model_server), ["a"], patience_seconds=0.2)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_will_not_mend_is_told_at_once(model_server: ModelServer, status: int) -> None:
    model_server.reset(Behaviour(status=status))
    began = time.monotonic()
    with pytest.raises(ModelRefused, match=str(status)):
        embed(make_model(model_server), ["a"], patience_seconds=60)
    assert time.monotonic() - began < 2


def test_one_process_told_to_wait_keeps_all_that_are_patient_waiting(
    model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    clock = SimpleNamespace(sleep=slept.append, monotonic=time.monotonic)
    monkeypatch.setattr(embedding_pace, "time", clock)
    monkeypatch.setattr(vendor_errors, "LONGEST_RETRY_AFTER", 1.0)
    model = make_model(model_server)
    model_server.script(Behaviour(status=429, retry_after="6"))
    with pytest.raises(Unavailable):  # which notes what was asked for and has no time left for it
        embed(model, ["a"], patience_seconds=0.1)
    embed(model, ["question"])
    assert slept == []
    embed(model, ["b"], patience_seconds=60)
    assert 0 < slept[0] <= 6


def test_an_exhausted_limit_is_waited_for_before_it_is_exceeded(model_server: ModelServer) -> None:
    spent = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "400ms"}
    model_server.script(Behaviour(headers=spent))
    began = time.monotonic()
    for _ in range(2):
        embed(make_model(model_server), ["a"], patience_seconds=PATIENCE)
    assert time.monotonic() - began > 0.35
    assert vendor_errors.exhausted_seconds({**spent, "x-ratelimit-reset-tokens": "6m0s"}) == 360
    assert vendor_errors.exhausted_seconds({**spent, "x-ratelimit-remaining-tokens": "7"}) == 0


@pytest.mark.usefixtures("redis_or_none")
@pytest.mark.parametrize("limit", [{"requests_per_minute": 300}, {"tokens_per_minute": 300}])
def test_limits_a_minute_space_requests_out(model_server: ModelServer, limit: dict[str, int]) -> None:
    model = make_model(model_server, **limit)
    began = time.monotonic()
    for _ in range(4):
        embed(model, ["abc" if "requests_per_minute" in limit else "x"], patience_seconds=PATIENCE)
    assert 0.55 < time.monotonic() - began < 3  # 0.2 s each, and the first at once


@pytest.mark.usefixtures("redis_or_none")
def test_a_turn_too_far_away_is_given_up_and_not_counted(model_server: ModelServer) -> None:
    model = make_model(model_server, requests_per_minute=6)
    embedding_pace.wait(model, 1, patience_seconds=1)
    for _ in range(3):
        with pytest.raises(Unavailable):
            embedding_pace.wait(model, 1, patience_seconds=1)
    assert embedding_pace._reserve(model, 10.0, 11.0, urgent=False) <= 10


def test_what_the_endpoint_counted_corrects_what_was_guessed(model_server: ModelServer) -> None:
    model = make_model(model_server, tokens_per_minute=6_000)
    embed(
        model, ["abcdef" * 100], patience_seconds=PATIENCE
    )  # 200 tokens as guessed, which are 2 s; 1 as counted
    assert embedding_pace._reserve(model, 0.0, 60.0, urgent=False) < 0.5


def test_requests_that_are_too_large_are_halved_and_not_tried_again(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(most_texts=3))
    texts = [f"text {number}" for number in range(10)]
    vectors = embed(make_model(model_server), texts)
    np.testing.assert_allclose(vectors, np.stack([vector_of(text, 64) for text in texts]), atol=1e-6)
    assert max(sizes(model_server)[-3:]) <= 3
    model_server.reset(Behaviour(most_texts=3))
    embed(make_model(model_server), texts)
    assert sizes(model_server) == [3, 3, 3, 1]


def test_a_text_that_is_refused_by_itself_leaves_the_size_alone(model_server: ModelServer) -> None:
    model = make_model(model_server)
    model_server.reset(Behaviour(status=413))
    with pytest.raises(ModelRefused):
        embed(model, ["a", "b"])
    model_server.reset()
    embed(model, ["a", "b"])
    assert sizes(model_server) == [2]


def test_a_timeout_of_many_texts_is_not_multiplied_for_one_who_waits(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(delay=3))
    with pytest.raises(ModelTimeout):
        embed(make_model(model_server, timeout_seconds=0.7), ["a"] * 100)
    assert model_server.calls <= 1


def test_ingestion_in_trouble_does_not_close_the_endpoint_to_questions(model_server: ModelServer) -> None:
    model = make_model(model_server)
    model_server.reset(Behaviour(status=500))
    with pytest.raises(AppError):
        embed(model, ["a"], patience_seconds=0.5)
    model_server.reset()
    assert embed(replace(model), ["a question"]).shape == (1, 64)
    assert issubclass(ModelRefused, ModelFailed)
