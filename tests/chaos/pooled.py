"""10,000 requests of two tenants over three pooled connections, a tenth of which end badly."""

import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.report import Report

HOW_MANY = 10_000
_TEST = Path(__file__).parents[1] / "test_pooled_requests.py"
_SHOWN = 2_000  # characters of what a failing test says last


def whole() -> Report:
    """The suite's own test, with its own Postgres and Redis, at ten times its size."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "--show-capture=no", str(_TEST)],
        env=os.environ | {"POOLED_REQUESTS": str(HOW_MANY)},
        cwd=_TEST.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    faults = [] if done.returncode == 0 else [done.stdout[-_SHOWN:]]
    return Report({"requests": HOW_MANY}, {"status": done.returncode}, faults)
