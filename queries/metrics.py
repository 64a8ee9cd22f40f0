"""How good a ranking is. Rankings are names, best first, each once; judgements are relevant or not. Pure.

Formulas as in Manning, Raghavan and Schütze, "Introduction to Information Retrieval", chapter 8.
"""

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet


def recall(ranking: Sequence[str], relevant: AbstractSet[str], *, at: int) -> float:
    """The share of the relevant that stand among the first `at`."""
    return len(relevant & set(ranking[:at])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], relevant: AbstractSet[str], *, at: int) -> float:
    """1 / the rank of the first relevant one; 0 where none is among the first `at`."""
    ranks = (rank for rank, name in enumerate(ranking[:at], start=1) if name in relevant)
    return 1 / next(ranks, math.inf)


def ndcg(ranking: Sequence[str], relevant: AbstractSet[str], *, at: int) -> float:
    """Normalised discounted cumulative gain: the relevant count 1 / log2(rank + 1), over the best there could be."""
    gain = sum(_discount(rank) for rank, name in enumerate(ranking[:at], start=1) if name in relevant)
    return gain / sum(_discount(rank) for rank in range(1, min(at, len(relevant)) + 1))


def hit(ranking: Sequence[str], relevant: AbstractSet[str], *, at: int) -> float:
    """1 where a relevant one stands among the first `at`."""
    return float(not relevant.isdisjoint(ranking[:at]))


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)
