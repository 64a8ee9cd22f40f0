"""Rankings scored by hand."""

import math

import pytest

from queries.evaluations import metrics

RANKING = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("relevant", "at", "score"),
    [({"a", "c"}, 5, 1.0), ({"a", "z"}, 5, 0.5), ({"c"}, 2, 0.0), ({"a", "b", "c", "d"}, 2, 0.5)],
)
def test_recall(relevant: set[str], at: int, score: float) -> None:
    assert metrics.recall(RANKING, relevant, at=at) == score


@pytest.mark.parametrize(("relevant", "at", "score"), [({"a"}, 5, 1), ({"c", "e"}, 5, 1 / 3), ({"e"}, 4, 0)])
def test_reciprocal_rank(relevant: set[str], at: int, score: float) -> None:
    assert metrics.reciprocal_rank(RANKING, relevant, at=at) == score


@pytest.mark.parametrize(
    ("relevant", "at", "score"),
    [
        ({"a", "b"}, 5, 1.0),
        ({"b"}, 5, 1 / math.log2(3)),
        ({"a", "c"}, 5, (1 + 0.5) / (1 + 1 / math.log2(3))),
        # More are relevant than are looked at: the ideal is cut at the same depth.
        ({"a", "b", "x", "y"}, 2, 1.0),
        ({"x"}, 5, 0.0),
    ],
)
def test_ndcg(relevant: set[str], at: int, score: float) -> None:
    assert metrics.ndcg(RANKING, relevant, at=at) == pytest.approx(score)


@pytest.mark.parametrize(("relevant", "at", "score"), [({"b"}, 1, 0.0), ({"b"}, 2, 1.0), ({"z"}, 5, 0.0)])
def test_hit(relevant: set[str], at: int, score: float) -> None:
    assert metrics.hit(RANKING, relevant, at=at) == score
