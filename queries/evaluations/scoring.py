"""Scores how well one question was answered, and a run's means. Pure.

A ranking has each document once, at its best passage. A question that expects no document has no scores of retrieval,
and one that expects no words has none of words: each mean is over the questions that have the score.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from statistics import fmean
from typing import Any, Final

import numpy as np

from queries.evaluations import metrics

Scores = dict[str, float]

_OF_RANKINGS: Final = ("recall@5", "recall@10", "MRR@10", "nDCG@10")
# In the order of display. `given`: an expected document is among the sources; `page`: with its page.
MEASURES: Final = (*_OF_RANKINGS, "given", "page", "citation precision", "answered", "expected words")


def of_ranking(ranking: Sequence[str], relevant: AbstractSet[str]) -> Scores:
    if not relevant:
        return {}
    scores = metrics.scores(_OF_RANKINGS, ranking, relevant=relevant)
    return {name: round(score, 6) for name, score in scores.items()}


def of_sources(
    sources: Sequence[tuple[str, int | None, int | None]], expected: Sequence[tuple[str, int | None]]
) -> Scores:
    """`sources`: documents with their first and last page. `expected`: documents, some with a page."""
    if not expected:
        return {}
    documents = {document for document, _ in expected}
    scores = {"given": float(any(document in documents for document, _, _ in sources))}
    pages = {(document, page) for document, page in expected if page is not None}
    if pages:
        scores["page"] = float(
            any(
                document == wanted and first is not None and first <= page <= (last or first)
                for document, first, last in sources
                for wanted, page in pages
            )
        )
    return scores


def of_citations(cited: Sequence[str], relevant: AbstractSet[str]) -> Scores:
    """The share of the cited sources that are from an expected document."""
    if not cited or not relevant:
        return {}
    return {"citation precision": sum(document in relevant for document in cited) / len(cited)}


def of_words(answer: str, expected: str) -> Scores:
    """Whether the answer has the expected words, whatever the case and white space."""
    if not expected:
        return {}
    return {"expected words": float(_plain(expected) in _plain(answer))}


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def means(scores: Iterable[Scores]) -> dict[str, dict[str, float]]:
    """The mean of each measure, and over how many questions it is."""
    columns: dict[str, list[float]] = {}
    for row in scores:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {
        name: {"mean": round(fmean(columns[name]), 4), "questions": len(columns[name])}
        for name in MEASURES
        if name in columns
    }


def latency(milliseconds: Sequence[float]) -> dict[str, Any]:
    if not milliseconds:
        return {"p50_ms": None, "p95_ms": None}
    p50, p95 = np.percentile(np.asarray(milliseconds), [50, 95])
    return {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1)}
