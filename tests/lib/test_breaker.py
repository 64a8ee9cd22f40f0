"""When a breaker opens, what it counts, and how it closes again."""

import threading
import time
from collections.abc import Callable

import pytest

from ragsite.lib.breaker import Breaker
from ragsite.lib.errors import Unavailable
from tests.site import wait_for


def make_breaker(reset_seconds: float = 60.0, answers: Callable[[], bool] | None = None) -> Breaker:
    return Breaker(
        "It",
        failures=2,
        reset_seconds=reset_seconds,
        counts=lambda error: isinstance(error, OSError),
        answers=answers,
    )


def fail(breaker: Breaker, error: Exception, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(type(error)), breaker.guarding():
            raise error


def test_it_opens_after_failures_in_a_row_and_names_what_is_down() -> None:
    breaker = make_breaker()
    fail(breaker, OSError(), times=2)
    assert breaker.state == "open"
    with pytest.raises(Unavailable, match="It failed repeatedly") as refused, breaker.guarding():
        pytest.fail("the body ran though the breaker was open")
    assert refused.value.headers == {"Retry-After": "60"}


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = make_breaker()
    fail(breaker, OSError())
    with breaker.guarding():
        pass
    fail(breaker, OSError())
    assert breaker.state == "closed"


def test_errors_of_the_caller_do_not_count() -> None:
    breaker = make_breaker()
    fail(breaker, ValueError(), times=5)
    assert breaker.state == "closed"


@pytest.mark.parametrize(("probe_fails", "state"), [(True, "open"), (False, "closed")])
def test_the_probe_decides(*, probe_fails: bool, state: str) -> None:
    breaker = make_breaker(reset_seconds=0.02)
    fail(breaker, OSError(), times=2)
    time.sleep(0.03)
    if probe_fails:
        fail(breaker, OSError())
    else:
        with breaker.guarding():
            pass
    assert breaker.state == state


def test_only_one_probes_at_a_time() -> None:
    breaker = make_breaker(reset_seconds=0.02)
    fail(breaker, OSError(), times=2)
    time.sleep(0.03)
    with breaker.guarding(), pytest.raises(Unavailable), breaker.guarding():
        pytest.fail("a second probe ran beside the first")


def test_where_it_can_ask_no_caller_probes() -> None:
    well = threading.Event()
    breaker = make_breaker(reset_seconds=0.02, answers=well.is_set)
    fail(breaker, OSError(), times=2)
    for _ in range(5):
        time.sleep(0.01)
        with pytest.raises(Unavailable), breaker.guarding():
            pytest.fail("a caller probed")
    well.set()
    wait_for(lambda: breaker.state == "closed", seconds=10)
    with breaker.guarding():
        pass
