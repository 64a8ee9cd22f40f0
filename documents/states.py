"""The states of a document and every move between them.

Each move is one conditional UPDATE. A worker's moves are fenced by the claim that it was given: once another
attempt has claimed the document, or somebody deleted it or asked for it to be processed again, none of the older
worker's writes takes effect, and it is told so by `Superseded`.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from accounts.models import Tenant
from documents.models import Document
from ragsite.lib.errors import Conflict
from webhooks import outbox
from webhooks.models import Event

Status = Document.Status

_IDLE: dict[str, Any] = {"claim": None, "leased_until": None, "stage": ""}
HINTS_AT_ONCE = 200


class Superseded(Exception):
    """This attempt no longer owns its document."""


def claim(document_id: UUID) -> Document | None:
    """Takes a queued document, or one whose worker went silent; None when there is nothing to take."""
    token = uuid4()
    free = Q(status=Status.QUEUED) | Q(status=Status.PROCESSING, leased_until__lt=Now())
    taken = (
        Document.objects.across_tenants()
        .filter(free, pk=document_id, attempts__lt=settings.INGEST_MAX_ATTEMPTS)
        .update(
            status=Status.PROCESSING,
            stage=Document.Stage.PARSING,
            claim=token,
            attempts=F("attempts") + 1,
            leased_until=_lease(),
            progress_done=0,
            progress_total=0,
        )
    )
    if not taken:
        return None
    return Document.objects.across_tenants().select_related("collection").filter(claim=token).first()


def extend_lease(document: Document) -> None:
    """The heartbeat of a worker that is alive."""
    _own(document, leased_until=_lease())


def advance(document: Document, stage: Document.Stage, *, done: int = 0, total: int = 0) -> None:
    _own(document, stage=stage, progress_done=done, progress_total=total, leased_until=_lease())


def make_ready(document: Document, *, pages: int | None, chunks: int, title: str) -> None:
    """To be called in the transaction that stores the chunks."""
    _own(
        document,
        **_IDLE,
        status=Status.READY,
        pages=pages,
        chunks=chunks,
        title=title,
        error_code="",
        error_detail="",
        ready_at=Now(),
    )
    outbox.note(document.tenant_id, [document.pk], Event.DOCUMENT_READY)


def fail(document: Document, *, code: str, detail: str) -> None:
    """An end that trying again would not change. To be called in the transaction that clears the chunks."""
    _own(document, **_IDLE, status=Status.FAILED, error_code=code, error_detail=detail, chunks=0, pages=None)
    outbox.note(document.tenant_id, [document.pk], Event.DOCUMENT_FAILED)


def release(document: Document, *, code: str, detail: str) -> None:
    """Gives a document back for another attempt: what failed was ours or a vendor's, not the file."""
    _own(document, **_IDLE, status=Status.QUEUED, error_code=code, error_detail=detail, hinted_at=Now())


def queue_again(document: Document) -> None:
    """What `reprocess` does: a ready document stays searchable as it was until the new chunks replace it."""
    finished = Document.objects.for_tenant(document.tenant_id).filter(
        pk=document.pk, status__in=[Status.READY, Status.FAILED]
    )
    fresh = {"attempts": 0, "error_code": "", "error_detail": "", "progress_done": 0, "progress_total": 0}
    if not finished.update(**_IDLE, **fresh, status=Status.QUEUED, hinted_at=Now()):
        raise Conflict("The document is being processed already.", code="in_progress")
    document.refresh_from_db()


def overdue() -> list[UUID]:
    """Documents that the broker must be told of again, oldest first; notes that it was."""
    stale = Document.objects.across_tenants().filter(
        Q(status=Status.QUEUED) | Q(status=Status.PROCESSING, leased_until__lt=Now()),
        hinted_at__lt=Now() - timedelta(seconds=settings.SWEEP_SECONDS),
        attempts__lt=settings.INGEST_MAX_ATTEMPTS,
    )
    ids = list(stale.order_by("hinted_at").values_list("pk", flat=True)[:HINTS_AT_ONCE])
    Document.objects.across_tenants().filter(pk__in=ids).update(hinted_at=Now())
    return ids


@transaction.atomic
def give_up() -> None:
    """Fails the documents whose last attempt went by: for the reason it gave, or else as interrupted."""
    over = Q(status=Status.QUEUED) | Q(status=Status.PROCESSING, leased_until__lt=Now())
    spent = Document.objects.across_tenants().filter(over, attempts__gte=settings.INGEST_MAX_ATTEMPTS)
    rows = list(spent.select_for_update(skip_locked=True).values_list("tenant_id", "pk"))
    given_up = Document.objects.across_tenants().filter(pk__in=[pk for _, pk in rows])
    given_up.filter(status=Status.QUEUED).update(status=Status.FAILED)
    given_up.filter(status=Status.PROCESSING).update(
        **_IDLE,
        status=Status.FAILED,
        error_code="interrupted",
        error_detail=f"Processing was interrupted {settings.INGEST_MAX_ATTEMPTS} times. Reprocess it to try again.",
    )
    of_tenants: dict[UUID, list[UUID]] = {}
    for tenant_id, pk in rows:
        of_tenants.setdefault(tenant_id, []).append(pk)
    for tenant_id, documents in of_tenants.items():
        outbox.note(tenant_id, documents, Event.DOCUMENT_FAILED)


def unfinished(tenant: Tenant) -> QuerySet[Document]:
    return Document.objects.for_tenant(tenant).filter(status__in=[Status.QUEUED, Status.PROCESSING])


def _lease() -> Any:
    return Now() + timedelta(seconds=settings.INGEST_LEASE_SECONDS)


def _own(document: Document, **values: Any) -> None:
    """An UPDATE that only the attempt which still owns the document makes."""
    mine = Document.objects.for_tenant(document.tenant_id).filter(pk=document.pk, claim=document.claim)
    if not mine.update(**values):
        raise Superseded
