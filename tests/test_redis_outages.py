"""Callers notice next to nothing of a Redis that went away. `make chaos` does it at full size.

How quick the answers are is measured there: beside other tests it would tell about those.
"""

from collections.abc import Iterator

import pytest

from tests.chaos import outages
from tests.chaos.outages import Plan
from tests.chaos.redis_server import KILLED, SLOW, STOPPED, Server, Way
from tests.site import Site

pytestmark = pytest.mark.long

BRIEF = Plan(seconds=1.2, rate=40.0, back_seconds=6.0, allowed_ms=10_000.0)


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[Site, Server]]:
    with outages.behind_its_own_redis(proxied=True) as found:
        yield found


@pytest.mark.parametrize("way", [KILLED, STOPPED, SLOW], ids=["killed", "stopped", "slow"])
def test_answers_flow_and_all_is_well_again_soon_after(behind: tuple[Site, Server], way: Way) -> None:
    report = outages.outage(*behind, way, plan=BRIEF)
    assert report.held, "\n".join(report.faults)
