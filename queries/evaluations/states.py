"""The states of a run and every move between them.

Each move is one conditional UPDATE. A worker's writes are conditional on its claim, as for documents
(`documents.states`): they fail once the run was cancelled or another worker has taken it over.
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

MAX_ATTEMPTS: Final = 3  # at the same question, that end without a result
IN_WORK: Final = (Status.QUEUED, Status.RUNNING)

_MOVES: dict[EvaluationRun.Status, set[EvaluationRun.Status]] = {
    Status.QUEUED: {Status.RUNNING, Status.CANCELLED, Status.FAILED},
    Status.RUNNING: {Status.RUNNING, Status.DONE, Status.CANCELLED, Status.FAILED},
}
_IDLE: dict[str, Any] = {"claim": None, "leased_until": None}


def _move(rows: QuerySet[EvaluationRun], to: EvaluationRun.Status, **values: Any) -> int:
    """Moves those of `rows` that may take this status, and returns how many did. Every change goes through here."""
    allowed = [status for status, ways in _MOVES.items() if to in ways]
    ended: dict[str, Any] = {} if to is Status.RUNNING else {**_IDLE, "finished_at": Now()}
    return rows.filter(status__in=allowed).update(status=to, **(ended | values))


# For the worker ----------------------------------------------------------------------------------------------


def claim_next() -> EvaluationRun | None:
    """Claims the run that has waited longest, so that several runs advance in turn; None when none is free."""
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
    """Queued, between two steps, or left by a dead worker; never of an inactive tenant."""
    is_open = ~Q(tenant__in=Tenant.objects.filter(active=False))
    unleased = Q(leased_until=None) | Q(leased_until__lt=Now())
    return is_open & unleased & Q(status__in=IN_WORK)


def hold(run: EvaluationRun) -> bool:
    """Extends the lease; returns whether the run is still the caller's."""
    return bool(_own(run).update(leased_until=_lease()))


@transaction.atomic
def keep(run: EvaluationRun, result: EvaluationResult) -> bool:
    """Stores a result, unless the question has one; returns whether the run is still the caller's."""
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
    """Stores the settings that the run is asked with, once, before its first question."""
    _own(run).filter(settings={}).update(settings=dict(made_with))


def rest(run: EvaluationRun) -> bool:
    """Ends a step; the next one continues where the results end."""
    return bool(_own(run).update(leased_until=None, attempts=0))


def finish(run: EvaluationRun, summary: Mapping[str, Any]) -> bool:
    return bool(_move(_own(run), Status.DONE, summary=dict(summary)))


def fail(run: EvaluationRun, *, code: str, detail: str, summary: Mapping[str, Any]) -> bool:
    """Ends a run before its last question, with the means so far."""
    failure = {"error_code": code, "error_detail": detail, "summary": dict(summary)}
    return bool(_move(_own(run), Status.FAILED, **failure))


# For everybody -----------------------------------------------------------------------------------------------


def cancel(run: EvaluationRun) -> EvaluationRun:
    """Ends a run and keeps its results. Raises Conflict (`finished`) where it has ended already."""
    rows = EvaluationRun.objects.for_tenant(run.tenant_id).filter(pk=run.pk)
    if not _move(rows, Status.CANCELLED):
        raise Conflict("The run has ended already.", code="finished")
    return rows.select_related("set", "space").get()


def _own(run: EvaluationRun) -> QuerySet[EvaluationRun]:
    return EvaluationRun.objects.for_tenant(run.tenant_id).filter(
        pk=run.pk, claim=run.claim, status=Status.RUNNING
    )


def _lease() -> Any:
    """The end of a lease from now, which lasts longer than a question may take."""
    return Now() + timedelta(seconds=settings.ANSWER_TIMEOUT_SECONDS + settings.INGEST_LEASE_SECONDS)


def too_many_attempts(run: EvaluationRun) -> bool:
    """Whether too many workers have died while working on it."""
    return run.attempts > MAX_ATTEMPTS


def results(run: EvaluationRun) -> QuerySet[EvaluationResult]:
    return EvaluationResult.objects.for_tenant(run.tenant_id).filter(run=run)
