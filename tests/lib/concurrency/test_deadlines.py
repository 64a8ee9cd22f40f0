"""The deadline that everything which is asked for one question has together."""

from collections.abc import Generator

import pytest

from ragsite.lib.concurrency import deadlines
from ragsite.lib.errors import ModelTimeout
from ragsite.lib.inference import circuits, llm
from ragsite.lib.inference.circuit_rules import Rules
from tests.lib.inference.test_llm import QUESTION, make_endpoint
from tests.model_server import Behaviour, ModelServer


def test_the_nearest_deadline_counts() -> None:
    assert deadlines.left(5) == 5
    with deadlines.until(deadlines.after(100)):
        with deadlines.until(deadlines.after(1_000)):
            assert 90 < deadlines.left(500) <= 100
            assert deadlines.left(5) == 5
        with deadlines.until(deadlines.after(0)):
            assert (deadlines.left(5), deadlines.is_over()) == (0, True)
        assert not deadlines.is_over()
    assert deadlines.left(500) == 500


def test_whoever_reads_parts_has_no_deadline_between_them() -> None:
    closed = []

    def parts() -> Generator[float, None, None]:
        try:
            for _ in range(3):
                yield deadlines.left(500)
        finally:
            closed.append(True)

    steps = deadlines.steps_until(deadlines.after(100), parts())
    assert next(steps) <= 100
    assert deadlines.left(500) == 500
    steps.close()
    assert closed == [True]
    assert all(part <= 100 for part in deadlines.steps_until(deadlines.after(100), parts()))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_endpoint_is_not_to_blame_for_its_askers_deadline(
    model_server: ModelServer, *, streamed: bool
) -> None:
    model_server.reset(Behaviour(fault="hang"))
    endpoint = make_endpoint(model_server, rules=Rules(failures=1), timeout_seconds=60.0)

    def ask() -> None:
        with pytest.raises(ModelTimeout):
            list(llm.stream([endpoint], QUESTION)) if streamed else llm.complete([endpoint], QUESTION)

    with deadlines.until(deadlines.after(0.5)):
        ask()
    assert (model_server.calls, circuits.of(endpoint).state) == (1, "closed")
    with deadlines.until(deadlines.after(0)):
        ask()
    assert (model_server.calls, circuits.of(endpoint).state) == (1, "closed")  # it was not asked
