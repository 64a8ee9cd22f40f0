"""Begins runs, and puts two of them side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import Tenant
from apikeys import budgets
from apikeys.callers import Caller
from queries.evaluations import scoring, significance, states
from queries.generating import chat_models, generation, trials
from queries.models import EvaluationResult, EvaluationRun, EvaluationSet
from queries.traces import differences
from ragsite.lib.errors import Conflict, FieldError, Invalid

MAX_IN_WORK: Final = 5  # runs of a tenant


@transaction.atomic
def begin(
    asked: EvaluationSet,
    *,
    name: str = "",
    answers: bool = True,
    prompt: str | None = None,
    top_k: int | None = None,
    distance_threshold: float | None = None,
    model: str = "",
    space: UUID | None = None,
) -> EvaluationRun:
    """A queued run, which a worker is to be told of once it is committed.

    Raises Conflict (`too_many_runs`, `space_incomplete`), NotFound for a space, BudgetSpent, and Invalid for a model that
    is not listed in MODEL_PRICES: nobody could say what it costs.
    """
    Tenant.objects.select_for_update().get(pk=asked.tenant_id)  # two at once would both be the last
    in_work = EvaluationRun.objects.for_tenant(asked.tenant_id).filter(status__in=states.IN_WORK)
    if in_work.count() >= MAX_IN_WORK:
        raise Conflict(f"{MAX_IN_WORK} runs are in work already.", code="too_many_runs")
    _check_model(model)
    if answers:
        budgets.check(Caller(tenant_id=asked.tenant_id))
    return EvaluationRun.objects.create(
        tenant_id=asked.tenant_id,
        set=asked,
        name=name,
        answers=answers,
        prompt=prompt,
        top_k=top_k,
        distance_threshold=distance_threshold,
        model=model,
        space=trials.space(space) if space else None,
        total=asked.questions.count(),
    )


def _check_model(model: str) -> None:
    if not model:
        return
    if settings.ANSWER_PROVIDER == generation.EXTRACTIVE:
        detail = "No model writes the answers of this site."
    elif model in {*(listed.model for listed in chat_models.listed()), *settings.MODEL_PRICES}:
        return
    else:
        detail = "It is neither one of the site's models nor listed in MODEL_PRICES."
    raise Invalid("Some fields are wrong.", fields=[FieldError("model", "invalid_choice", detail)])


def compare(before: EvaluationRun, after: EvaluationRun, *, limit: int) -> dict[str, Any]:
    """Two runs of one set, over the questions that both have a result of; the `limit` that differ most.

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


Pair = tuple[EvaluationResult, EvaluationResult]


def _pairs(before: EvaluationRun, after: EvaluationRun) -> list[Pair]:
    results = states.results(before).select_related("question").order_by("question__ordinal")
    others = {result.question_id: result for result in states.results(after)}
    return [(result, others[result.question_id]) for result in results if result.question_id in others]


def _measure(name: str, pairs: Sequence[Pair]) -> dict[str, Any] | None:
    """Over the pairs that both have it: a question whose answer cites nothing has no precision of citations."""
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
    """By all the scores that it has, and by whether it was answered at all."""
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
