"""Whether two runs over the same questions differ by more than chance. Pure.

The paired bootstrap of Efron and Tibshirani ("An Introduction to the Bootstrap", 1993, section 16.4 and chapter 13),
which Smucker, Allan and Carterette ("A Comparison of Statistical Significance Tests for Information Retrieval
Evaluation", CIKM 2007) found to agree with the randomization test and Student's t test on rankings, where the sign
test does not.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

SAMPLES: Final = 10_000
_AT_ONCE: Final = 500  # so that a large set does not take hundreds of megabytes
SEED: Final = 20_070  # so that the same two runs always have the same result
CONFIDENCE: Final = 0.95


class Difference(NamedTuple):
    """The mean difference, its 95 % interval, and the two-sided probability of one this large by chance."""

    mean: float
    low: float
    high: float
    p: float


def paired(before: Sequence[float], after: Sequence[float]) -> Difference | None:
    """The difference after - before; None without pairs."""
    if not before:
        return None
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    # Most differences are 0 or one of a few fractions, so that it is enough to draw how often each value comes.
    values, counts = np.unique(np.round(differences, 9), return_counts=True)
    size = len(differences)
    generator = np.random.default_rng(SEED)
    drawn = np.concatenate(
        [
            generator.multinomial(size, counts / size, size=_AT_ONCE) @ values / size
            for _ in range(SAMPLES // _AT_ONCE)
        ]
    )
    mean = float(differences.mean())
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(drawn, [tail, 100 - tail])
    # The samples are shifted to a mean of 0, as if there were no difference. 1 is added on both sides, so that p is
    # never 0.
    extreme = int((np.abs(drawn - mean) >= abs(mean) - 1e-12).sum())
    p = (extreme + 1) / (SAMPLES + 1)
    return Difference(round(mean, 4), round(float(low), 4), round(float(high), 4), round(p, 4))
