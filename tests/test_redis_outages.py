"""Callers notice next to nothing of a Redis that went away. `make chaos` does it at full size.

How quick the answers are is measured there: beside other tests it would tell about those.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos import outages
from tests.chaos.outages import Plan

BRIEF = Plan(seconds=2.0, rate=6.0, allowed_ms=10_000.0)


@pytest.mark.parametrize("away", [outages.killed, outages.stopped, outages.slow])
def test_answers_flow_and_all_is_well_again_soon_after(away: Callable[[Plan], dict[str, Any]]) -> None:
    found = away(BRIEF)
    assert found["during"]["answers"] > 0
    assert found["during"]["from_cache"] == 0
    assert found["first_hit_s"] < outages.RECOVERY_SECONDS
