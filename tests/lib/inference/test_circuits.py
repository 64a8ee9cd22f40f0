"""Breakers and places at endpoints: by their rules with Redis and without, and over processes with it."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from ragsite.lib import redis_client
from ragsite.lib.inference import circuits, llm
from ragsite.lib.inference.circuit_rules import Refusal, Rules, Verdict
from ragsite.lib.inference.circuits import Circuit, Passage
from ragsite.lib.inference.llm import ChatEndpoint
from tests.lib.caller import Caller
from tests.model_server import Behaviour, ModelServer
from tests.outages import redis_refused, redis_waited_for
from tests.site import wait_for

TIMES = {"timeout_seconds": 5.0, "rules": {"failures": 2, "reset_seconds": 1.0}}


@pytest.fixture(params=["with Redis", "without"])
def where(request: pytest.FixtureRequest) -> Iterator[None]:
    with redis_waited_for() if request.param == "with Redis" else redis_refused():
        yield


@pytest.fixture
def circuit(where: None) -> Circuit:
    return make_circuit()


def make_circuit(*, reset_seconds: float = 60.0, places: int = 0, places_alone: int = 0) -> Circuit:
    rules = Rules(failures=2, reset_seconds=reset_seconds, places=places, places_alone=places_alone)
    return Circuit("it", uuid4().hex, rules)


def enter(circuit: Circuit, model: str = "m", *, lease: float = 60.0, patience: float = 0.0) -> Any:
    return circuit.enter(model, lease_seconds=lease, patience_seconds=patience)


def pass_through(circuit: Circuit, *verdicts: Verdict, hold: float = 0.0) -> None:
    for verdict in verdicts:
        passage = enter(circuit)
        assert isinstance(passage, Passage), passage
        # As a call that was slow, whose end is waited for: the next one must find what it said.
        circuit.leave(passage.ticket, verdict, hold_seconds=hold, shared=passage.shared)


def test_it_opens_after_failures_in_a_row(circuit: Circuit) -> None:
    pass_through(circuit, "down", "well", "down", "unknown", "down")
    refusal = enter(circuit)
    assert refusal.why == "open"
    assert 58 < refusal.seconds <= 60


@pytest.mark.parametrize(("verdict", "why"), [("well", None), ("down", "open"), ("unknown", None)])
def test_one_probes_and_decides(where: None, verdict: Verdict, why: str | None) -> None:
    circuit = make_circuit(reset_seconds=0.3)
    pass_through(circuit, "down", "down")
    time.sleep(0.35)
    probe = enter(circuit)
    assert enter(circuit) == Refusal("open", 1.0)  # while it is probed
    probe.leave(verdict)
    told = enter(circuit)
    assert (told.why if isinstance(told, Refusal) else None) == why


def test_a_probe_that_died_is_followed_by_another(where: None) -> None:
    circuit = make_circuit(reset_seconds=0.1)
    pass_through(circuit, "down", "down")
    time.sleep(0.15)
    lost = enter(circuit, lease=0.2)
    time.sleep(0.25)
    assert isinstance(enter(circuit), Passage)
    lost.leave("well")  # whose time was over: it decides nothing any more
    assert enter(circuit).why == "open"


def test_a_call_from_before_it_opened_does_not_close_it(circuit: Circuit) -> None:
    slow = enter(circuit)
    pass_through(circuit, "down", "down")
    circuit.leave(slow.ticket, "well", hold_seconds=0, shared=slow.shared)
    assert enter(circuit).why == "open"


def test_a_hold_is_kept_for_its_model_alone(circuit: Circuit) -> None:
    pass_through(circuit, "well", hold=30)
    refusal = enter(circuit)
    assert (refusal.why, 28 < refusal.seconds <= 30) == ("held", True)
    assert isinstance(enter(circuit, "another"), Passage)


def test_places_are_taken_and_given_back(where: None) -> None:
    circuit = make_circuit(places=2)
    first, _ = enter(circuit), enter(circuit)
    assert enter(circuit).why == "full"
    first.leave("down")
    assert isinstance(enter(circuit, patience=1.0), Passage)
    assert enter(circuit).why == "full"


def test_who_waits_for_a_place_gets_it(where: None) -> None:
    circuit = make_circuit(places=2)
    enter(circuit, lease=60), enter(circuit, lease=0.3)
    began = time.monotonic()
    assert isinstance(enter(circuit, patience=20), Passage)  # whoever held the other never said that it left
    assert time.monotonic() - began < 5


def test_without_redis_a_process_has_its_share() -> None:
    circuit = make_circuit(places=8, places_alone=2)
    with redis_refused():
        told = [enter(circuit) for _ in range(3)]
    assert [isinstance(one, Passage) for one in told] == [True, True, False]


def test_what_was_open_stays_open_when_redis_goes() -> None:
    circuit = make_circuit()
    with redis_waited_for():
        pass_through(circuit, "down", "down")
        assert enter(circuit).why == "open"
    with redis_refused():
        assert enter(circuit).why == "open"


def test_a_call_that_goes_well_waits_for_redis_once(
    model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    guarded = redis_client.guarded

    def counted(call: Any) -> Any:
        waits.append(threading.get_ident())
        return guarded(call)

    monkeypatch.setattr(redis_client, "guarded", counted)
    endpoint = ChatEndpoint(base_url=model_server.url, api_key="sk", model="first", rules=Rules(places=5))
    assert llm.complete([endpoint], [{"role": "user", "content": "?"}]).text
    assert waits.count(threading.get_ident()) == 1


def test_a_purpose_has_one_circuit_at_an_address_whatever_its_calls_are_like() -> None:
    answers = ChatEndpoint(base_url="http://127.0.0.1:1/v1", api_key="sk", model="first")
    same = replace(answers, timeout_seconds=2.0, max_tokens=200, model="second")
    assert circuits.of(same) is circuits.of(answers)
    assert circuits.of(replace(answers, purpose="embeddings")) is not circuits.of(answers)


# Over processes ----------------------------------------------------------------------------------------------


def test_the_breaker_is_one_over_processes(model_server: ModelServer) -> None:
    """Opens by the failures of both, lets one call of both through, and closes for both."""
    with Caller() as one, Caller() as other:
        model_server.reset(Behaviour(status=500))
        for caller in (one, other):
            caller.ask(model_server, **TIMES)
            assert caller.told()["code"] == "model_failed"
        for caller in (one, other):
            caller.ask(model_server, **TIMES)
            assert caller.told() == {"code": "unavailable", "headers": {"Retry-After": "1"}}
        assert model_server.calls == 6  # three tries each, and none since
        time.sleep(1.1)
        model_server.reset(Behaviour(fault="hang"))
        one.ask(model_server, **TIMES)
        wait_for(lambda: model_server.calls == 1)
        other.ask(model_server, **TIMES)
        assert other.told()["code"] == "unavailable"  # for the other one probes
        assert model_server.calls == 1
        model_server.reset()
        assert one.told()["code"] == "model_timeout"  # and opens it anew
        time.sleep(1.1)
        for caller in (one, other):
            caller.ask(model_server, **TIMES)
            assert caller.told() == {"text": "A scripted answer [1]."}
        assert model_server.calls == 2


def test_places_are_shared_and_come_back_from_the_dead(model_server: ModelServer) -> None:
    places = {"timeout_seconds": 2.0, "rules": {"places": 1}, "queue_seconds": 0.1}
    model_server.reset(Behaviour(fault="hang"))
    with Caller() as one, Caller() as other:
        one.ask(model_server, **places)
        wait_for(lambda: model_server.calls == 1)
        other.ask(model_server, **places)
        told = other.told()
        assert told["code"] == "model_busy"
        assert int(told["headers"]["Retry-After"]) >= 1
        one.process.kill()
        model_server.reset()
        asked = {"code": ""}
        deadline = time.monotonic() + 20
        while "text" not in asked:  # its lease outlasts the call's own limit by two seconds
            assert time.monotonic() < deadline, asked
            other.ask(model_server, **places)
            asked = other.told()
        assert model_server.calls == 1
