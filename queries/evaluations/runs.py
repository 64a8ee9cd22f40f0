"""Begins a run: checks what it asks for, and queues it."""

from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import Tenant
from apikeys import budgets
from apikeys.callers import Caller
from documents.embedding_space import EmbeddingSpace
from queries.evaluations import states
from queries.generating import chat_models, generation
from queries.models import EvaluationRun, EvaluationSet
from ragsite.lib.errors import Conflict, FieldError, Invalid, NotFound

State = EmbeddingSpace.State

MAX_IN_WORK: Final = 5  # runs of one tenant


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
    """Queues a run; the caller tells a worker once the transaction is committed.

    Raises Conflict (`too_many_runs`, `space_incomplete`), NotFound for an unknown space, BudgetSpent, and Invalid for a
    model that has no price in MODEL_PRICES.
    """
    Tenant.objects.select_for_update().get(
        pk=asked.tenant_id
    )  # or two requests at once could both pass the limit
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
        space=_space(space) if space else None,
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


def _space(identifier: UUID) -> EmbeddingSpace:
    """The embedding space, if it has all its vectors. Raises NotFound, and Conflict (`space_incomplete`)."""
    found = EmbeddingSpace.objects.filter(pk=identifier).first()
    if found is None:
        raise NotFound("There is no such embedding space.")
    if found.state == State.DROPPED or (found.state == State.BUILDING and not found.is_complete):
        raise Conflict(
            f"The embedding space {found} lacks vectors: it is {found.state}.", code="space_incomplete"
        )
    return found
