"""Streamed answers: their pieces, their sum, and what ends them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ragsite.lib.errors import ModelFailed, ModelTimeout, Unavailable
from ragsite.lib.inference import llm
from ragsite.lib.inference.llm import ChatEndpoint, Completion
from tests.model_server import Behaviour, ModelServer

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def make_endpoints(model_server: ModelServer, **changes: Any) -> list[ChatEndpoint]:
    wishes = {"base_url": model_server.url, "api_key": "sk-test", "timeout_seconds": 5.0}
    return [ChatEndpoint(model=model, **{**wishes, **changes}) for model in ("first", "second")]


def test_pieces_come_first_and_their_sum_last(model_server: ModelServer) -> None:
    pieces = list(llm.stream(make_endpoints(model_server), QUESTION))
    assert pieces == [
        "A ",
        "scripted ",
        "answer ",
        "[1].",
        Completion("A scripted answer [1].", "first", 6, 4),
    ]


def test_the_first_piece_does_not_wait_for_the_last(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(reply="word " * 10, drip=0.0002))
    began = time.monotonic()
    stream = llm.stream(make_endpoints(model_server), QUESTION)
    next(stream)
    first = time.monotonic() - began
    list(stream)
    assert first < (time.monotonic() - began) / 2


@pytest.mark.parametrize("fault", [Behaviour(status=500), Behaviour(fault="empty"), Behaviour(status=400)])
def test_a_failure_before_the_first_piece_is_made_good(model_server: ModelServer, fault: Behaviour) -> None:
    model_server.script(fault)
    assert "".join(
        piece for piece in llm.stream(make_endpoints(model_server), QUESTION) if isinstance(piece, str)
    )
    assert model_server.calls == 2


def test_a_failure_after_the_first_piece_raises_and_asks_no_other(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(reply="word " * 20, fault="reset", drip=0.00001))
    with pytest.raises((Unavailable, ModelFailed)):
        list(llm.stream(make_endpoints(model_server), QUESTION))
    assert model_server.calls == 1


def test_a_dripping_stream_ends_at_the_deadline(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(reply="word " * 100, drip=0.001))
    began = time.monotonic()
    with pytest.raises(ModelTimeout):
        list(llm.stream(make_endpoints(model_server, timeout_seconds=1.0), QUESTION))
    assert 0.9 < time.monotonic() - began < 1.6


def test_a_huge_stream_is_cut_off(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(fault="huge"))
    with pytest.raises(ModelFailed, match="longer than"):
        list(llm.stream(make_endpoints(model_server, max_answer_bytes=10_000), QUESTION))


def test_a_reader_that_leaves_frees_the_connection(model_server: ModelServer) -> None:
    model_server.reset(Behaviour(reply="word " * 500, drip=0.001))
    stream = llm.stream(make_endpoints(model_server), QUESTION)
    next(stream)
    assert isinstance(stream, Iterator)
    stream.close()
    ends = time.monotonic() + 2
    while model_server.open_connections:
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_wish_that_a_model_refuses_is_dropped(model_server: ModelServer) -> None:
    model_server.script(Behaviour(status=400, error="unknown parameter 'stream_options'"))
    *pieces, whole = llm.stream(make_endpoints(model_server), QUESTION)
    assert "".join(str(piece) for piece in pieces) == "A scripted answer [1]."
    assert whole == Completion("A scripted answer [1].", "first", 0, 0)
