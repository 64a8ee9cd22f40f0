"""The states of a delivery: taken, delivered, to be tried again, given up.

Taking one counts the attempt and moves `due_at` on by a lease: whoever dies with it loses nothing, and the message
goes out again under the same id. `claim` fences the record of a try off from one who took it later.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from ragsite.lib import crypto
from ragsite.lib.outbound import Reply
from webhooks import endpoints, schedule
from webhooks.models import Delivery, Endpoint

Status = Delivery.Status
_KEPT_TRIES = 2 * schedule.TRIES  # of one that was sent again by hand, the latest
_GONE = 410
_GRACE_SECONDS = 10  # between the end of a call and its record


@dataclass(frozen=True, slots=True)
class Try:
    """How one try ended: the status of the answer, or why there was none."""

    at: datetime
    milliseconds: int
    reply: Reply | None = None
    error: str = ""

    @property
    def delivered(self) -> bool:
        return self.reply is not None and 200 <= self.reply.status < 300

    @property
    def code(self) -> str:
        return "" if self.delivered else self.error or "status"

    def as_row(self) -> dict[str, Any]:
        status = None if self.reply is None else self.reply.status
        return {"at": self.at.isoformat(), "status": status, "error_code": self.code,
                "milliseconds": self.milliseconds}  # fmt: skip


def waiting() -> list[Endpoint]:
    """The endpoints that something is due for, in no order, so that none is always the last. Crosses tenants.

    An inactive tenant's hear nothing, as its keys do; what waits is sent when it is active again.
    """
    theirs = _due().filter(endpoint=OuterRef("pk"))
    due = Endpoint.objects.across_tenants().filter(Exists(theirs), enabled=True, tenant__active=True)
    return list(due.order_by("?"))


def take(endpoint: Endpoint, how_many: int) -> list[Delivery]:
    """Some that are due, the longest due first; none that another process is just taking."""
    token, now = uuid4(), timezone.now()
    with transaction.atomic():
        due = _due().filter(tenant=endpoint.tenant_id, endpoint=endpoint).order_by("due_at")
        ids = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:how_many])
        own = Delivery.objects.for_tenant(endpoint.tenant_id).filter(pk__in=ids)
        lease = timedelta(seconds=settings.WEBHOOK_TIMEOUT_SECONDS + _GRACE_SECONDS)
        own.update(claim=token, attempts=F("attempts") + 1, due_at=now + lease)
    return list(own.filter(claim=token)) if ids else []


def secrets(endpoint: Endpoint) -> list[str]:
    """Those that sign now, the present one first. Raises `crypto.Unreadable`."""
    overlaps = endpoint.previous_until is not None and endpoint.previous_until > timezone.now()
    sealed = [endpoint.secret, *([endpoint.previous_secret] if overlaps else [])]
    return [crypto.unseal(one) for one in sealed]


def record(delivery: Delivery, tried: Try) -> None:
    """Writes down how a try ended, unless another took the delivery over meanwhile, or it is gone."""
    delivery.tries = [*delivery.tries, tried.as_row()][-_KEPT_TRIES:]
    ended: dict[str, Any] = {"claim": None, "tries": delivery.tries, "error_code": tried.code}
    gone = tried.reply is not None and tried.reply.status == _GONE
    wait = None if gone else schedule.delay(delivery.attempts, retry_after=_asked(tried))
    if tried.delivered or wait is None:
        ended["status"] = Status.DELIVERED if tried.delivered else Status.FAILED
        ended["finished_at"] = timezone.now()
    else:
        ended["due_at"] = timezone.now() + timedelta(seconds=wait)
    own = Delivery.objects.for_tenant(delivery.tenant_id).filter(pk=delivery.pk, claim=delivery.claim)
    if own.update(**ended):
        _judge(delivery, tried, gone=gone, given_up=wait is None)


def _asked(tried: Try) -> float:
    return 0.0 if tried.reply is None else tried.reply.retry_after


def _judge(delivery: Delivery, tried: Try, *, gone: bool, given_up: bool) -> None:
    """What a try says of its endpoint: it is well, it fails, or it is to be left alone."""
    endpoint = Endpoint.objects.for_tenant(delivery.tenant_id).filter(pk=delivery.endpoint_id)
    if tried.delivered:
        endpoint.filter(failing_since__isnull=False).update(failing_since=None)
    elif gone:
        endpoints.disable(delivery.tenant_id, delivery.endpoint_id, why=Endpoint.Disabled.GONE)
    else:
        endpoint.filter(failing_since=None).update(failing_since=tried.at)
        long_ago = timezone.now() - timedelta(days=settings.WEBHOOK_DISABLE_DAYS)
        # Only once a whole schedule of tries has failed: one try after a quiet week says little.
        if given_up and endpoint.filter(failing_since__lt=long_ago).exists():
            endpoints.disable(delivery.tenant_id, delivery.endpoint_id, why=Endpoint.Disabled.FAILING)


def _due() -> QuerySet[Delivery]:
    pending = Delivery.objects.across_tenants().filter(status=Status.PENDING)
    return pending.filter(due_at__lte=timezone.now())
