"""Two things measured in turn, in one run: on a shared machine only their ratio means anything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

PAIRS = 5


@dataclass(frozen=True)
class Sample:
    """One turn: units of work a second, and processor seconds a unit (of the measured processes alone)."""

    rate: float
    cpu_seconds: float


@dataclass(frozen=True)
class Comparison:
    """`subject` over `baseline`, pair by pair; above 1 the subject is the quicker."""

    name: str
    subject: Sequence[Sample]
    baseline: Sequence[Sample]

    def ratios(self) -> list[float]:
        return [
            subject.rate / baseline.rate
            for subject, baseline in zip(self.subject, self.baseline, strict=True)
        ]

    def summary(self) -> dict[str, Any]:
        """Medians, and the smallest and largest ratio."""
        ratios = self.ratios()
        return {
            "name": self.name,
            "ratio": round(median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
            "pairs": len(ratios),
            "subject_rate": round(median(sample.rate for sample in self.subject), 1),
            "baseline_rate": round(median(sample.rate for sample in self.baseline), 1),
            "subject_cpu_ms": round(median(sample.cpu_seconds for sample in self.subject) * 1000, 3),
            "baseline_cpu_ms": round(median(sample.cpu_seconds for sample in self.baseline) * 1000, 3),
        }


def compare(
    name: str, *, subject: Callable[[], Sample], baseline: Callable[[], Sample], pairs: int = PAIRS
) -> Comparison:
    """Both once to warm up, then in turn."""
    subject()
    baseline()
    taken = [(subject(), baseline()) for _ in range(pairs)]
    return Comparison(name, [pair[0] for pair in taken], [pair[1] for pair in taken])
