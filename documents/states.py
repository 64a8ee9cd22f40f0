"""The states of a document and every move between them.

Each move is one conditional UPDATE. A worker's writes are fenced by the claim that it was given: once another attempt
has claimed the document, or somebody deleted it or asked for it to be processed again, none of the older worker's
writes takes effect. A write answers with the documents that are still the caller's; the others are to be dropped.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import transaction
from django.db.models import Case, F, JSONField, Q, QuerySet, TextField, Value, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Cast, Coalesce, Greatest, Least, Now

from accounts.models import Tenant
from documents.models import Document
from ragsite.lib.errors import Conflict
from webhooks import outbox
from webhooks.models import Event

Queue, Stage, Status = Document.Queue, Document.Stage, Document.Status

BATCH_DOCUMENTS = 64
BATCH_BYTES = 256 * 1024  # of plain text about two seconds of embedding
# What cannot be had, a model as a rule, is asked again after as long as it has been away already, within these bounds.
_SHORTEST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
_PATIENCE = timedelta(days=1)
_RESTS_FOR_LEASES = 4

_MOVES: dict[Document.Status, set[Document.Status]] = {
    Status.QUEUED: {Status.PROCESSING, Status.FAILED},
    Status.PROCESSING: {Status.PROCESSING, Status.QUEUED, Status.READY, Status.FAILED},
    Status.READY: {Status.QUEUED},
    Status.FAILED: {Status.QUEUED},
}
_IDLE: dict[str, Any] = {"claim": None, "leased_until": None, "stage": ""}
_FRESH: dict[str, Any] = {
    "attempts": 0,
    "error_code": "",
    "error_detail": "",
    "progress_done": 0,
    "progress_total": 0,
    "refused_since": None,
}


def _move(rows: QuerySet[Document], to: Document.Status, **values: Any) -> int:
    """Every change of a status: moves those of `rows` that may make it; returns how many did."""
    allowed = [status for status, ways in _MOVES.items() if to in ways]
    idle: dict[str, Any] = {} if to is Status.PROCESSING else _IDLE
    return rows.filter(status__in=allowed).update(status=to, **(idle | values))


# Claiming ----------------------------------------------------------------------------------------------------


def claim(document_id: UUID) -> Document | None:
    """Takes one document, whichever lane it is in; None when it is unknown, finished, or in work."""
    with transaction.atomic():
        free = Document.objects.across_tenants().filter(_free(), pk=document_id)
        taken = _taken(free.select_for_update(skip_locked=True))
    return taken[0] if taken else None


@transaction.atomic
def claim_next(queue: Document.Queue, *, after: UUID | None = None) -> list[Document]:
    """Takes the next documents of one tenant: of the first after `after`, in the order of ids, that has free ones.

    As many as `BATCH_DOCUMENTS` and `BATCH_BYTES` allow, and at least one. What was tried before is taken alone, so
    that a file which ends its worker takes no other with it; and so is what takes long. Empty when nothing is free.
    """
    most = BATCH_DOCUMENTS if queue is Queue.DEFAULT else 1
    free = Document.objects.across_tenants().filter(_free(), queue=queue).order_by("tenant_id", "id")
    # Rows that another worker is just taking are passed over; it will have work of this lane without them.
    unlocked = free.select_for_update(skip_locked=True)
    rows = list(unlocked.filter(tenant_id__gt=after)[:most]) if after else []
    return _taken(_batch(rows or unlocked[:most]))


def _batch(rows: Iterable[Document]) -> list[Document]:
    """The first of `rows`, and what follows as long as it is the same tenant's, new, and within the budget."""
    batch: list[Document] = []
    size = 0
    for row in rows:
        size += row.bytes
        if batch and (row.tenant_id != batch[0].tenant_id or row.attempts or size > BATCH_BYTES):
            break
        batch.append(row)
        if row.attempts:
            break
    return batch


def _taken(rows: Iterable[Document]) -> list[Document]:
    """Claims rows that the caller has locked, each under a token of its own."""
    ids = [row.pk for row in rows]
    if not ids:
        return []
    mine = Document.objects.across_tenants().filter(pk__in=ids)
    begun = {"stage": "", "progress_done": 0, "progress_total": 0}
    _move(mine, Status.PROCESSING, claim=RandomUUID(), leased_until=_lease(), **begun)
    return list(mine.select_related("collection").order_by("pk"))


def _free() -> Q:
    """What a worker may take: queued, or left by a worker that went silent; of a tenant that is closed, nothing.

    What lost two workers rests before it is tried again: when workers die in a row it is more often the machine's fault
    than the file's, and a file that did nothing would be out of attempts within seconds.
    """
    rest = _RESTS_FOR_LEASES * timedelta(seconds=settings.INGEST_LEASE_SECONDS)
    left = Q(attempts__lt=2, leased_until__lt=Now()) | Q(leased_until__lt=Now() - rest)
    is_open = ~Q(tenant__in=Tenant.objects.filter(active=False))
    return (
        is_open
        & Q(attempts__lt=settings.INGEST_MAX_ATTEMPTS)
        & (Q(status=Status.QUEUED, not_before__lte=Now()) | Q(status=Status.PROCESSING) & left)
    )


def has_free(queue: Document.Queue) -> bool:
    """Whether a worker of this lane would find something."""
    return Document.objects.across_tenants().filter(_free(), queue=queue).exists()


# The moves of whoever has claimed ----------------------------------------------------------------------------


def begin(document: Document) -> bool:
    """Counts the attempt; whether the document is still the caller's.

    Here and not when it is claimed: the rest of its batch is not to blame for a file that ends the worker.
    """
    waited = {"attempts": F("attempts") + 1, "stage": Stage.PARSING, "leased_until": _lease()}
    return bool(_own([document]).update(**waited))


@transaction.atomic
def advance(documents: Sequence[Document], stage: Document.Stage) -> list[Document]:
    """Notes the stage that they are in, and their `progress_done` and `progress_total`."""
    mine = hold(documents)
    if mine:
        progress = _each(mine, "progress_done", "progress_total")
        _own(mine).update(stage=stage, leased_until=_lease(), **progress)
    return mine


@transaction.atomic
def extend_leases(documents: Sequence[Document]) -> None:
    """The heartbeat of a worker that is alive."""
    # Passing over what the worker itself has locked just now: waiting for it could be waiting for each other.
    mine = _own(documents).select_for_update(skip_locked=True).values_list("pk", flat=True)
    _own(documents).filter(pk__in=list(mine)).update(leased_until=_lease())


def hold(documents: Sequence[Document]) -> list[Document]:
    """Locks those of the documents that are still the caller's until its transaction ends; returns them."""
    # In the order of ids, as everybody who locks several does.
    claims = _own(documents).select_for_update().order_by("pk").values_list("claim", flat=True)
    held = set(claims)
    return [document for document in documents if document.claim in held]


def make_ready(documents: Sequence[Document]) -> None:
    """Ends the processing of documents that are held, with their `title`, pages, `chunks` and `timings`.

    To be called in the transaction that stores the chunks.
    """
    result = _each(documents, "title", "pages", "unread_pages", "ocr_pages", "chunks", "timings")
    ended = {"error_code": "", "error_detail": "", "refused_since": None, "ready_at": Now()}
    _move(_own(documents), Status.READY, **result, **ended)
    _tell(documents, Event.DOCUMENT_READY)


def fail(document: Document, *, code: str, detail: str) -> bool:
    """An end that trying again would not change. To be called in the transaction that clears the chunks."""
    failure = {"error_code": code, "error_detail": detail, "chunks": 0, "pages": None}
    moved = _move(_own([document]), Status.FAILED, **failure, timings=document.timings)
    if moved:
        _tell([document], Event.DOCUMENT_FAILED)
    return bool(moved)


def give_back(document: Document, *, code: str, detail: str) -> bool:
    """Queues a document again because of an outage. An attempt that was counted for it is given back.

    The pauses between two tries grow. False where the document is no longer the caller's, or was given back for a day
    already and has to be failed.
    """
    waiting = Q(refused_since=None) | Q(refused_since__gt=Now() - _PATIENCE)
    away: Any = Now() - Coalesce("refused_since", Now())
    return bool(
        _move(
            _own([document]).filter(waiting),
            Status.QUEUED,
            error_code=code,
            error_detail=detail,
            attempts=Case(When(stage="", then=F("attempts")), default=F("attempts") - 1),
            not_before=Now() + Least(Greatest(away, Value(_SHORTEST_PAUSE)), Value(_LONGEST_PAUSE)),
            refused_since=Coalesce("refused_since", Now()),
        )
    )


@transaction.atomic
def let_go(documents: Sequence[Document]) -> None:
    """Queues documents again that were claimed and not begun."""
    mine = hold(documents) if documents else []
    if mine:
        _move(_own(mine), Status.QUEUED)


def move_to_low(document: Document) -> bool:
    """Hands a document that takes long to the workers who have time; that costs no attempt."""
    return bool(_move(_own([document]), Status.QUEUED, queue=Queue.LOW, attempts=F("attempts") - 1))


# The moves of everybody else ---------------------------------------------------------------------------------


def queue_again(document: Document) -> None:
    """What `reprocess` does: a ready document stays searchable as it was until the new chunks replace it.

    Raises Conflict (`in_progress`), and NotFound where it was removed meanwhile.
    """
    rows = Document.objects.for_tenant(document.tenant_id)
    with transaction.atomic():
        rows.select_for_update().one(document.pk)
        finished = rows.filter(pk=document.pk, status__in=[Status.READY, Status.FAILED])
        if not _move(finished, Status.QUEUED, **_FRESH, not_before=Now()):
            raise Conflict("The document is being processed already.", code="in_progress")
        document.refresh_from_db()


def spent() -> list[Document]:
    """Documents whose last attempt went by without an end."""
    free = Q(status=Status.QUEUED) | Q(status=Status.PROCESSING, leased_until__lt=Now())
    last = Document.objects.across_tenants().filter(free, attempts__gte=settings.INGEST_MAX_ATTEMPTS)
    return list(last.order_by("pk"))


def give_up(document: Document) -> bool:
    """Fails a document that is spent. To be called in the transaction that clears the chunks."""
    rows = Document.objects.for_tenant(document.tenant_id).filter(pk=document.pk, claim=document.claim)
    times = settings.INGEST_MAX_ATTEMPTS
    spent_rows = rows.filter(attempts__gte=times)
    detail = f"Processing was interrupted {times} times. Reprocess it to try again."
    moved = _move(
        spent_rows, Status.FAILED, error_code="interrupted", error_detail=detail, chunks=0, pages=None
    )
    if moved:
        _tell([document], Event.DOCUMENT_FAILED)
    return bool(moved)


def _tell(documents: Sequence[Document], event: Event) -> None:
    """Notes the end of documents of one tenant for its webhooks, in the transaction that makes it so."""
    outbox.note(documents[0].tenant_id, [document.pk for document in documents], event)


def unfinished(tenant: Tenant) -> QuerySet[Document]:
    return Document.objects.for_tenant(tenant).filter(status__in=[Status.QUEUED, Status.PROCESSING])


def _lease() -> Any:
    return Now() + timedelta(seconds=settings.INGEST_LEASE_SECONDS)


def _own(documents: Sequence[Document]) -> QuerySet[Document]:
    """The rows of documents as far as the attempt which claimed these still owns them."""
    return Document.objects.for_tenant(documents[0].tenant_id).filter(
        claim__in=[document.claim for document in documents]
    )


def _each(documents: Sequence[Document], *fields: str) -> dict[str, Any]:
    """Values for one UPDATE of several rows: each document's own.

    Looked up by the claim in one object a field: a CASE over every document would cost more than the UPDATE itself.
    """
    meta = Document._meta  # noqa: SLF001  Django's documented name for it
    return {field: _own_value(documents, meta.get_field(field)) for field in fields}


def _own_value(documents: Sequence[Document], field: Any) -> Any:
    values = {str(document.claim): getattr(document, field.attname) for document in documents}
    claim = Cast("claim", TextField())
    if isinstance(field, ArrayField):  # which Postgres does not make of a JSON array
        values = {claimed: f"{{{','.join(map(str, value))}}}" for claimed, value in values.items()}
    return Cast(CombinedExpression(Value(values, JSONField()), "->>", claim), field)
