"""Measures of a ranking: names, best first, without repetition, each of which is relevant or not. Pure.

Formulas as in Manning, Raghavan and Schütze, "Introduction to Information Retrieval", chapter 8.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final


def recall(ranking: Sequence[str], relevant: AbstractSet[str], *, at: int) -> float:
    """The share of the relevant names that are among the first `at`."""
    return len(relevant & set(ranking[:at])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], relevant: AbstractSet[str], *, at: int) -> float:
    """1 / the rank of the first relevant name; 0 where none is among the first `at`."""
    ranks = (rank for rank, name in enumerate(ranking[:at], start=1) if name in relevant)
    return 1 / next(ranks, math.inf)


def ndcg(ranking: Sequence[str], relevant: AbstractSet[str], *, at: int) -> float:
    """Normalised discounted cumulative gain: the relevant count 1 / log2(rank + 1), over the best there could be."""
    gain = sum(_discount(rank) for rank, name in enumerate(ranking[:at], start=1) if name in relevant)
    return gain / sum(_discount(rank) for rank in range(1, min(at, len(relevant)) + 1))


def hit(ranking: Sequence[str], relevant: AbstractSet[str], *, at: int) -> float:
    """1 where a relevant name is among the first `at`, else 0."""
    return float(not relevant.isdisjoint(ranking[:at]))


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


_BY_NAME: Final[Mapping[str, Callable[[Sequence[str], AbstractSet[str]], float]]] = {
    "hit@1": partial(hit, at=1),
    "hit@5": partial(hit, at=5),
    "recall@5": partial(recall, at=5),
    "recall@10": partial(recall, at=10),
    "MRR@10": partial(reciprocal_rank, at=10),
    "nDCG@10": partial(ndcg, at=10),
}


def scores(names: Iterable[str], ranking: Sequence[str], *, relevant: AbstractSet[str]) -> dict[str, float]:
    """The measures by their usual names. `relevant` must not be empty."""
    return {name: _BY_NAME[name](ranking, relevant) for name in names}
