"""Ends the process groups of a supervisor that was killed. Run as a script of its own, so that it is small.

It reads lines from standard input: `+GROUP SIGNAL` when a child was started, `-GROUP` when it has ended. The end of
the input is the supervisor's death: each group still listed gets its signal, and SIGKILL when it is there after as
many seconds as the argument says.

The kernel signals every child too, but that is not enough: a child that is killed outright leaves children of its own,
and one that is stuck does not heed the signal.
"""

import os
import signal
import sys
import time
from contextlib import suppress


def _listen() -> dict[int, int]:
    """Return the groups, and the signal that each asks for, that were listed when the input ended."""
    groups: dict[int, int] = {}
    for line in sys.stdin:
        if line.startswith("+"):
            group, which = line[1:].split()
            groups[int(group)] = int(which)
        else:
            groups.pop(int(line[1:]), None)
    return groups


def _exists(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def _end(groups: dict[int, int], *, grace: float) -> None:
    for group, which in groups.items():
        with suppress(ProcessLookupError):
            os.killpg(group, which)
    deadline = time.monotonic() + grace
    while any(_exists(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in filter(_exists, groups):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    _end(_listen(), grace=float(sys.argv[1]))
