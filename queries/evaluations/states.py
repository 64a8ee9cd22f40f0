"""The states of a run and every move between them.

Each move is one conditional UPDATE, and a worker's writes are fenced by the claim that it was given, as those of
documents are (`documents.states`): a run that was cancelled, or that another worker took over, takes none of them.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from accounts.models import Tenant
from queries.models import EvaluationResult, EvaluationRun
from ragsite.lib.errors import Conflict

Status = EvaluationRun.Status

MAX_ATTEMPTS: Final = 3  # that end without a result, of the same question
IN_WORK: Final = (Status.QUEUED, Status.RUNNING)

_MOVES: dict[EvaluationRun.Status, set[EvaluationRun.Status]] = {
    Status.QUEUED: {Status.RUNNING, Status.CANCELLED, Status.FAILED},
    Status.RUNNING: {Status.RUNNING, Status.DONE, Status.CANCELLED, Status.FAILED},
}
_IDLE: dict[str, Any] = {"claim": None, "leased_until": None}


def _move(rows: QuerySet[EvaluationRun], to: EvaluationRun.Status, **values: Any) -> int:
    """Every change of a status: moves those of `rows` that may make it; returns how many did."""
    allowed = [status for status, ways in _MOVES.items() if to in ways]
    ended: dict[str, Any] = {} if to is Status.RUNNING else {**_IDLE, "finished_at": Now()}
    return rows.filter(status__in=allowed).update(status=to, **(ended | values))


# Whoever works on it -----------------------------------------------------------------------------------------


def claim_next() -> EvaluationRun | None:
    """Takes the run that has waited longest, so that several get on in turn; None when none is free."""
    with transaction.atomic():
        free = (
            EvaluationRun.objects.across_tenants()
            .filter(_free())
            .order_by(F("stepped_at").asc(nulls_first=True), "pk")
        )
        run = free.select_for_update(skip_locked=True).first()
        if run is None:
            return None
        mine = EvaluationRun.objects.across_tenants().filter(pk=run.pk)
        _move(
            mine,
            Status.RUNNING,
            claim=uuid4(),
            leased_until=_lease(),
            attempts=F("attempts") + 1,
            started_at=Coalesce("started_at", Now()),
            stepped_at=Now(),
        )
    return mine.select_related("set", "space").get()


def has_free() -> bool:
    return EvaluationRun.objects.across_tenants().filter(_free()).exists()


def _free() -> Q:
    """Queued, between two steps, or left by a worker that went silent; of a tenant that is closed, none."""
    is_open = ~Q(tenant__in=Tenant.objects.filter(active=False))
    unleased = Q(leased_until=None) | Q(leased_until__lt=Now())
    return is_open & unleased & Q(status__in=IN_WORK)


def hold(run: EvaluationRun) -> bool:
    """Extends the lease; whether the run is still the caller's."""
    return bool(_own(run).update(leased_until=_lease()))


@transaction.atomic
def keep(run: EvaluationRun, result: EvaluationResult) -> bool:
    """Stores a result, once however often it is made; whether the run is still the caller's."""
    if not _own(run).select_for_update().exists():
        return False
    EvaluationResult.objects.bulk_create([result], ignore_conflicts=True)
    kept = EvaluationResult.objects.for_tenant(run.tenant_id).filter(run=run).count()
    return bool(
        _own(run).update(
            done=kept, cost_usd=F("cost_usd") + result.cost_usd, attempts=0, leased_until=_lease()
        )
    )


def note_settings(run: EvaluationRun, made_with: Mapping[str, Any]) -> None:
    """What it is asked with, as of its first question."""
    _own(run).filter(settings={}).update(settings=dict(made_with))


def rest(run: EvaluationRun) -> bool:
    """Ends a step; the next one goes on from the results."""
    return bool(_own(run).update(leased_until=None, attempts=0))


def finish(run: EvaluationRun, summary: Mapping[str, Any]) -> bool:
    return bool(_move(_own(run), Status.DONE, summary=dict(summary)))


def fail(run: EvaluationRun, *, code: str, detail: str, summary: Mapping[str, Any]) -> bool:
    """An end before the last question, with the means so far."""
    failure = {"error_code": code, "error_detail": detail, "summary": dict(summary)}
    return bool(_move(_own(run), Status.FAILED, **failure))


# Everybody else ----------------------------------------------------------------------------------------------


def cancel(run: EvaluationRun) -> EvaluationRun:
    """What was answered by then stays. Raises Conflict (`finished`) where it has ended."""
    rows = EvaluationRun.objects.for_tenant(run.tenant_id).filter(pk=run.pk)
    if not _move(rows, Status.CANCELLED):
        raise Conflict("The run has ended already.", code="finished")
    return rows.select_related("set", "space").get()


def _own(run: EvaluationRun) -> QuerySet[EvaluationRun]:
    return EvaluationRun.objects.for_tenant(run.tenant_id).filter(
        pk=run.pk, claim=run.claim, status=Status.RUNNING
    )


def _lease() -> Any:
    """Longer than a question may take."""
    return Now() + timedelta(seconds=settings.ANSWER_TIMEOUT_SECONDS + settings.INGEST_LEASE_SECONDS)


def spent(run: EvaluationRun) -> bool:
    """Whether worker after worker has died of it."""
    return run.attempts > MAX_ATTEMPTS


def results(run: EvaluationRun) -> QuerySet[EvaluationResult]:
    return EvaluationResult.objects.for_tenant(run.tenant_id).filter(run=run)
