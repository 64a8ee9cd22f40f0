"""Measures of one question, of a run, and of two runs side by side."""

import random

import pytest

from queries.evaluations import scoring, significance


def test_rankings() -> None:
    assert scoring.of_ranking(["x", "a", "y", "b"], frozenset("ab")) == {
        "recall@5": 1.0,
        "recall@10": 1.0,
        "MRR@10": 0.5,
        "nDCG@10": pytest.approx(0.650920, abs=1e-5),  # (1/log2 3 + 1/log2 5) / (1 + 1/log2 3)
    }
    assert scoring.of_ranking(["x"], frozenset()) == {}


def test_sources_and_pages() -> None:
    sources = [("a", 1, 2), ("b", None, None)]
    assert scoring.of_sources(sources, [("a", 2)]) == {"given": 1.0, "page": 1.0}
    assert scoring.of_sources(sources, [("a", 3)]) == {"given": 1.0, "page": 0.0}
    assert scoring.of_sources(sources, [("b", 1)]) == {"given": 1.0, "page": 0.0}
    assert scoring.of_sources(sources, [("c", None)]) == {"given": 0.0}
    assert scoring.of_sources(sources, []) == {}


def test_citations_and_words() -> None:
    assert scoring.of_citations(["a", "x", "a"], frozenset("a")) == {
        "citation precision": pytest.approx(2 / 3)
    }
    assert scoring.of_citations([], frozenset("a")) == {}
    assert scoring.of_words("It lasts\n THREE  years.", "three years") == {"expected words": 1.0}
    assert scoring.of_words("It lasts four years.", "three years") == {"expected words": 0.0}
    assert scoring.of_words("anything", "") == {}


def test_means_are_over_those_that_have_it() -> None:
    assert scoring.means([{"given": 1.0}, {"given": 0.0, "page": 1.0}, {}]) == {
        "given": {"mean": 0.5, "questions": 2},
        "page": {"mean": 1.0, "questions": 1},
    }
    assert scoring.latency([]) == {"p50_ms": None, "p95_ms": None}
    assert scoring.latency([10.0, 20.0, 30.0]) == {"p50_ms": 20.0, "p95_ms": 29.0}


def test_no_difference_is_not_significant() -> None:
    found = significance.paired([0.5] * 20, [0.5] * 20)
    assert found == (0.0, 0.0, 0.0, 1.0)
    assert significance.paired([], []) is None


def test_a_large_difference_is_significant_and_a_small_one_is_not() -> None:
    generator = random.Random(7)
    before = [generator.random() for _ in range(100)]
    better = [value + 0.1 + generator.gauss(0, 0.05) for value in before]
    same = [value + generator.gauss(0, 0.2) for value in before]
    clear, unclear = significance.paired(before, better), significance.paired(before, same)
    assert clear is not None
    assert unclear is not None
    assert clear.p < 0.001
    assert unclear.p > 0.05
    assert 0.08 < clear.low < clear.mean < clear.high < 0.12
    assert unclear.low < 0 < unclear.high


def test_it_holds_its_level() -> None:
    """Of pairs that differ by chance alone about one in twenty is called significant, which is what p says."""
    generator = random.Random(3)
    found = 0
    for _ in range(200):
        noise = [generator.choice([-1.0, 0.0, 0.0, 1.0]) for _ in range(40)]
        difference = significance.paired([0.0] * 40, noise)
        assert difference is not None
        found += difference.p < 0.05
    assert 2 <= found <= 22
