"""Two runs of one set side by side: what changed in the means, in each question, and in the settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from queries.evaluations import scoring, significance, states
from queries.models import EvaluationResult, EvaluationRun
from queries.traces import differences
from ragsite.lib.errors import Conflict

Pair = tuple[EvaluationResult, EvaluationResult]
"""The results of one question: before and after."""


def compare(before: EvaluationRun, after: EvaluationRun, *, limit: int) -> dict[str, Any]:
    """Compares the questions that both runs have a result for; shows the `limit` that differ most.

    Raises Conflict (`not_comparable`) for runs of different sets.
    """
    if before.set_id != after.set_id:
        raise Conflict("They are runs of different sets.", code="not_comparable")
    pairs = _pairs(before, after)
    return {
        "before": before,
        "after": after,
        "settings": differences.settings(before.settings, after.settings),
        "questions_compared": len(pairs),
        "measures": [row for row in (_measure(name, pairs) for name in scoring.MEASURES) if row],
        "latency": {name: _latency(pairs, place) for place, name in enumerate(("before", "after"))},
        "questions": [_question(*pair) for pair in sorted(pairs, key=_how_different, reverse=True)[:limit]],
    }


def _pairs(before: EvaluationRun, after: EvaluationRun) -> list[Pair]:
    results = states.results(before).select_related("question").order_by("question__ordinal")
    others = {result.question_id: result for result in states.results(after)}
    return [(result, others[result.question_id]) for result in results if result.question_id in others]


def _measure(name: str, pairs: Sequence[Pair]) -> dict[str, Any] | None:
    """A measure before and after, over the questions that have it in both runs: not every answer has citations."""
    both = [(a.scores[name], b.scores[name]) for a, b in pairs if name in a.scores and name in b.scores]
    found = significance.paired([a for a, _ in both], [b for _, b in both])
    if found is None:
        return None
    return {
        "name": name,
        "questions": len(both),
        "before": round(sum(a for a, _ in both) / len(both), 4),
        "after": round(sum(b for _, b in both) / len(both), 4),
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "better": sum(b > a for a, b in both),
        "worse": sum(b < a for a, b in both),
    }


def _latency(pairs: Sequence[Pair], place: int) -> Mapping[str, Any]:
    return scoring.latency([pair[place].milliseconds for pair in pairs])


def _how_different(pair: Pair) -> float:
    """The sum of the differences of its scores, and 1 more where its status differs."""
    before, after = pair
    names = before.scores.keys() | after.scores.keys()
    changed = sum(abs(before.scores.get(name, 0.0) - after.scores.get(name, 0.0)) for name in names)
    return float(changed) + (before.status != after.status)


def _question(before: EvaluationResult, after: EvaluationResult) -> dict[str, Any]:
    return {
        "id": before.question_id,
        "question": before.question.question,
        "before": before,
        "after": after,
        "differences": {
            name: round(after.scores[name] - before.scores[name], 4)
            for name in scoring.MEASURES
            if name in before.scores and name in after.scores
        },
    }
