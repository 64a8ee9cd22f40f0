"""What becomes of every way in which a model's endpoint can fail."""

import logging
import os
import threading
import time
from typing import Any

import pytest

from ragsite.lib.errors import AppError, ModelFailed, ModelTimeout, Unavailable
from ragsite.lib.inference import circuits, llm
from ragsite.lib.inference.circuit_rules import Rules
from ragsite.lib.inference.llm import ChatEndpoint, Completion
from tests.model_server import Behaviour, ModelServer

KEY = "sk-never-shown"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def make_endpoint(model_server: ModelServer, **changes: Any) -> ChatEndpoint:
    wishes = {"base_url": model_server.url, "api_key": KEY, "model": "first", "timeout_seconds": 5.0}
    return ChatEndpoint(**{**wishes, **changes})


def test_an_answer_carries_text_model_and_tokens(model_server: ModelServer) -> None:
    endpoint = make_endpoint(model_server, max_tokens=50, temperature=0.0)
    assert llm.complete([endpoint], QUESTION) == Completion("A scripted answer [1].", "first", 6, 4)
    assert model_server.requests[0].body == {
        "model": "first",
        "messages": QUESTION,
        "max_tokens": 50,
        "temperature": 0.0,
    }


@pytest.mark.parametrize(
    ("behaviour", "error", "calls"),
    [
        pytest.param(Behaviour(status=400), ModelFailed, 1, id="refused"),
        pytest.param(Behaviour(status=401), ModelFailed, 1, id="key refused"),
        pytest.param(Behaviour(status=408), ModelFailed, 3, id="request timeout"),
        pytest.param(Behaviour(status=409), ModelFailed, 3, id="conflict"),
        pytest.param(Behaviour(status=429), Unavailable, 3, id="limited"),
        pytest.param(Behaviour(status=429, retry_after="60"), Unavailable, 1, id="limited for long"),
        pytest.param(Behaviour(status=500), ModelFailed, 3, id="server error"),
        pytest.param(Behaviour(fault="reset"), Unavailable, 3, id="reset midway"),
        pytest.param(Behaviour(fault="invalid_json"), ModelFailed, 1, id="invalid JSON"),
        pytest.param(Behaviour(fault="not_a_completion"), ModelFailed, 1, id="other JSON"),
        pytest.param(Behaviour(fault="empty"), ModelFailed, 1, id="empty"),
        pytest.param(Behaviour(fault="huge"), ModelFailed, 1, id="huge"),
    ],
)
def test_every_fault_has_its_error_and_its_number_of_tries(
    model_server: ModelServer, behaviour: Behaviour, error: type[AppError], calls: int
) -> None:
    model_server.reset(behaviour)
    with pytest.raises(error):
        llm.complete([make_endpoint(model_server)], QUESTION)
    assert model_server.calls == calls


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(fault="hang"), id="hang"),
        pytest.param(Behaviour(drip=0.05), id="drip"),
        pytest.param(Behaviour(drip=0.05, drip_headers=True), id="drip from the first header"),
        pytest.param(Behaviour(status=500, drip=0.05), id="drip of an error"),
    ],
)
def test_no_call_outlasts_its_deadline(model_server: ModelServer, behaviour: Behaviour) -> None:
    model_server.reset(behaviour)
    began = time.monotonic()
    with pytest.raises(ModelTimeout):
        llm.complete([make_endpoint(model_server, timeout_seconds=0.5)], QUESTION)
    assert 0.4 < time.monotonic() - began < 1.0


def test_nothing_listening_is_unavailable() -> None:
    with ModelServer() as gone:
        endpoint = make_endpoint(gone)
    with pytest.raises(Unavailable):
        llm.complete([endpoint], QUESTION)


def test_a_passing_failure_is_tried_again(model_server: ModelServer) -> None:
    model_server.script(Behaviour(status=500), Behaviour(status=429), Behaviour(reply="Paris"))
    assert llm.complete([make_endpoint(model_server)], QUESTION).text == "Paris"
    assert model_server.calls == 3


def test_retry_after_is_obeyed(model_server: ModelServer) -> None:
    model_server.script(Behaviour(status=429, retry_after="0.4"))
    began = time.monotonic()
    llm.complete([make_endpoint(model_server)], QUESTION)
    assert 0.4 <= time.monotonic() - began < 1.5


def test_a_pause_that_would_outlast_the_deadline_is_not_begun(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(status=429, retry_after="5"))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        llm.complete([make_endpoint(model_server, timeout_seconds=1.0)], QUESTION)
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("fault", ["hang", "empty"])
def test_fallback_models_are_asked_in_turn(model_server: ModelServer, fault: Any) -> None:
    model_server.script(Behaviour(fault=fault), Behaviour(reply="Paris"))
    endpoints = [
        make_endpoint(model_server, model=model, timeout_seconds=1.0) for model in ("first", "second")
    ]
    answer = llm.complete(endpoints, QUESTION)
    assert (answer.text, answer.model) == ("Paris", "second")
    assert [request.body["model"] for request in model_server.requests] == ["first", "second"]


def test_connections_are_reused_and_given_up_ones_are_closed(model_server: ModelServer) -> None:
    for _ in range(5):
        llm.complete([make_endpoint(model_server)], QUESTION)
    assert model_server.open_connections == 1
    model_server.reset(Behaviour(drip=0.02))
    with pytest.raises(ModelTimeout):
        llm.complete([make_endpoint(model_server, timeout_seconds=0.3)], QUESTION)  # by the same connection
    wait_until(lambda: model_server.open_connections == 0, seconds=20)


def test_a_forked_child_makes_its_own_client(model_server: ModelServer) -> None:
    llm.complete([make_endpoint(model_server)], QUESTION)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if llm.complete([make_endpoint(model_server)], QUESTION).text else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_the_key_is_in_no_error_log_or_repr(
    model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model_server.reset(Behaviour(status=401, error=f"Incorrect API key provided: {KEY}"))
    endpoint = make_endpoint(model_server)
    with pytest.raises(ModelFailed) as caught:
        llm.complete([endpoint], QUESTION)
    assert model_server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "Incorrect API key provided: ***" in caplog.text
    assert KEY not in f"{caught.value!r} {endpoint!r} {caplog.text}"


def wait_until(condition: Any, seconds: float = 2.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_the_breaker_opens_and_lets_one_probe_through(model_server: ModelServer) -> None:
    endpoint = make_endpoint(model_server, rules=Rules(failures=2, reset_seconds=0.3))
    model_server.reset(Behaviour(status=500))
    for _ in range(2):
        with pytest.raises(ModelFailed):
            llm.complete([endpoint], QUESTION)
    with pytest.raises(Unavailable) as refused:
        llm.complete([endpoint], QUESTION)
    assert model_server.calls == 6  # three tries each, and none while the breaker is open
    assert refused.value.headers["Retry-After"] == "1"
    time.sleep(0.35)
    model_server.reset(Behaviour(delay=0.3))
    probe = threading.Thread(target=llm.complete, args=([endpoint], QUESTION))
    probe.start()
    wait_until(lambda: model_server.calls == 1)
    with pytest.raises(Unavailable):
        llm.complete([endpoint], QUESTION)
    probe.join()
    assert circuits.of(endpoint).state == "closed"
    assert llm.complete([endpoint], QUESTION).text
    assert model_server.calls == 2


def test_calls_are_not_queued_by_the_breaker(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(delay=0.3))
    endpoint = make_endpoint(model_server)
    threads = [threading.Thread(target=llm.complete, args=([endpoint], QUESTION)) for _ in range(5)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 1.0  # one after the other they take 1.5 s


def test_refusals_of_a_request_do_not_open_the_breaker(model_server: ModelServer) -> None:
    endpoint = make_endpoint(model_server, rules=Rules(failures=2))
    model_server.script(*[Behaviour(status=400)] * 3)
    for _ in range(3):
        with pytest.raises(ModelFailed):
            llm.complete([endpoint], QUESTION)
    assert llm.complete([endpoint], QUESTION).text


REFUSALS = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "temperature": "Unsupported value: 'temperature' does not support 0.0 with this model.",
}


def test_a_wish_that_a_model_refuses_is_put_otherwise_or_dropped(model_server: ModelServer) -> None:
    model_server.script(*(Behaviour(status=400, error=text) for text in REFUSALS.values()))
    endpoint = make_endpoint(model_server, max_tokens=50, temperature=0.0)
    assert llm.complete([endpoint], QUESTION).text == "A scripted answer [1]."
    assert model_server.requests[-1].body == {
        "model": "first",
        "messages": QUESTION,
        "max_completion_tokens": 50,
    }


def test_a_wish_that_is_refused_under_every_name_is_an_error(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(status=400, error=REFUSALS["max_tokens"]))
    with pytest.raises(ModelFailed):
        llm.complete([make_endpoint(model_server, max_tokens=50)], QUESTION)
    assert model_server.calls == 2


def test_what_no_database_stores_is_replaced() -> None:
    body = b'{"choices": [{"message": {"content": "a\\u0000b\\ud800c"}}], "model": "%s", "usage": {"prompt_tokens": 1e30}}'
    completion = llm.read_completion(body % (b"m" * 500), model="asked")
    assert completion.text == "a\ufffdb?c"
    assert len(completion.model) == llm.LONGEST_NAME
    assert completion.prompt_tokens == llm.MOST_TOKENS
