"""Many threads of several processes at one bucket, straight at the door, without HTTP in between."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce

BURST, PER_MINUTE = 100, 600
THREADS = 64
PAUSE_SECONDS = 0.02  # between a thread's requests: its many times more than the bucket gains as it is
_PROGRAM = "import django; django.setup(); from tests.chaos import door; door.main()"
_BETWEEN_SECONDS = 1.5  # for the first look at the next key, and for its bucket to be full again after it


@dataclass(frozen=True)
class Plan:
    """One round a key, the first at `start` (seconds of the epoch), each `seconds` long."""

    digests: Sequence[str]
    threads: int
    start: float
    seconds: float

    def begin(self, turn: int) -> float:
        return self.start + turn * (self.seconds + _BETWEEN_SECONDS)


@dataclass(frozen=True)
class Round:
    """One key's requests, those let in, and those of them let in without Redis; in epoch seconds when the first was sent, when the first was answered,
    and when the last came to Redis by Redis's own clock."""

    asked: int
    admitted: int
    without_redis: int
    sent: float
    answered: float
    last: float

    @property
    def permitted(self) -> tuple[float, float]:
        """At least and at most: the bucket began to fill between the first request's being sent and its answer.

        What is under way when the round ends comes a little later, and finds what was gained in the meantime.
        """
        least, most = self.last - self.answered, self.last - self.sent
        return BURST + PER_MINUTE / 60 * least, BURST + PER_MINUTE / 60 * most

    def fault(self) -> str | None:
        least, most = self.permitted
        held = least - 1 <= self.admitted <= most + 1
        if held:
            return None
        return (
            f"{self.admitted} admitted, {self.without_redis} of them without Redis;"
            f" {least:.2f} to {most:.2f} permitted"
        )

    def with_another(self, other: "Round") -> "Round":
        return Round(
            self.asked + other.asked,
            self.admitted + other.admitted,
            self.without_redis + other.without_redis,
            min(self.sent, other.sent),
            min(self.answered, other.answered),
            max(self.last, other.last),
        )


def together(plan: Plan, *, processes: int, environment: dict[str, str]) -> list[Round]:
    """The plan carried out by so many processes at once, which share its threads; what they saw, summed by round."""
    share = Plan(plan.digests, plan.threads // processes, plan.start, plan.seconds)
    argv = [sys.executable, "-c", _PROGRAM, json.dumps(asdict(share))]
    environment = environment | {"DJANGO_SETTINGS_MODULE": "ragsite.settings"}
    running = [
        subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    limit = plan.begin(len(plan.digests)) - time.time() + 30
    try:
        told = [json.loads(process.communicate(timeout=limit)[0]) for process in running]
    finally:
        for process in running:
            process.kill()  # where it has ended, this does nothing
            process.wait()
    return [reduce(Round.with_another, (Round(**one) for one in each)) for each in zip(*told, strict=True)]
