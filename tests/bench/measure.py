"""Two things measured in turn, in one run: on a shared machine only their ratio means anything."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

PAIRS = 5


@dataclass(frozen=True)
class Sample:
    """One turn: units of work a second, and processor seconds a unit.

    `behind`: of what works for the measured processes (Redis, Postgres, the recorder). `load`: of those who ask.
    """

    rate: float
    cpu_seconds: float
    behind: float = 0.0
    load: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """`subject` over `baseline`, pair by pair; above 1 the subject is the quicker."""

    name: str
    subject: Sequence[Sample]
    baseline: Sequence[Sample]
    notes: Mapping[str, float] = field(default_factory=dict)  # what else was seen, by name

    def ratios(self) -> list[float]:
        return [
            subject.rate / baseline.rate
            for subject, baseline in zip(self.subject, self.baseline, strict=True)
        ]

    def cpu_ratio(self) -> float:
        """The same by what a unit costs all processes, those who ask included: it does not depend on who else runs."""
        return median(
            _whole(baseline) / _whole(subject)
            for subject, baseline in zip(self.subject, self.baseline, strict=True)
        )

    def summary(self) -> dict[str, Any]:
        """Medians, and the smallest and largest ratio; milliseconds of processor time a unit."""
        ratios = self.ratios()
        whole = {
            "name": self.name,
            "ratio": round(median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
            "cpu_ratio": round(self.cpu_ratio(), 3),
            "pairs": len(ratios),
            "notes": dict(self.notes),
        }
        return whole | _side("subject", self.subject) | _side("baseline", self.baseline)


def _whole(sample: Sample) -> float:
    return sample.cpu_seconds + sample.behind + sample.load


def _side(side: str, samples: Sequence[Sample]) -> dict[str, float]:
    def middle(values: Sequence[float]) -> float:
        return round(median(values) * 1000, 3)

    return {
        f"{side}_rate": round(median(sample.rate for sample in samples), 1),
        f"{side}_cpu_ms": middle([sample.cpu_seconds for sample in samples]),
        f"{side}_behind_ms": middle([sample.behind for sample in samples]),
        f"{side}_load_ms": middle([sample.load for sample in samples]),
    }


def compare(
    name: str,
    *,
    subject: Callable[[], Sample],
    baseline: Callable[[], Sample],
    pairs: int = PAIRS,
    notes: Mapping[str, float] | None = None,
) -> Comparison:
    """Both once to warm up, then in turn."""
    subject()
    baseline()
    taken = [(subject(), baseline()) for _ in range(pairs)]
    return Comparison(name, [pair[0] for pair in taken], [pair[1] for pair in taken], notes or {})
