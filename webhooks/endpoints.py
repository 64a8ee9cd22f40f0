"""A tenant's endpoints: made, changed, rotated, switched off, removed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Tenant
from ragsite.lib import crypto, outbound
from ragsite.lib.errors import Conflict, FieldError, Invalid
from ragsite.lib.identifiers import uuid7
from webhooks import signing
from webhooks.models import TEST, Delivery, Endpoint

MOST_OF_A_TENANT = 20
Why = Endpoint.Disabled

logger = structlog.get_logger(__name__)


@transaction.atomic
def add(tenant: Tenant, *, url: str, events: Sequence[str], description: str = "") -> tuple[Endpoint, str]:
    """The endpoint and, this once, its secret."""
    check(url)
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)  # two who count at once would both pass
    if Endpoint.objects.for_tenant(tenant).count() >= MOST_OF_A_TENANT:
        raise Conflict(f"A tenant has no more than {MOST_OF_A_TENANT} webhooks.", code="too_many_webhooks")
    secret = signing.new_secret()
    endpoint = Endpoint.objects.create(
        tenant=tenant,
        url=url,
        events=sorted(set(events)),
        description=description,
        secret=crypto.seal(secret),
    )
    return endpoint, secret


def check(url: str) -> None:
    """Raises Invalid where nothing would ever be sent to the address."""
    try:
        outbound.check(url, networks=settings.WEBHOOK_ALLOWED_NETWORKS)
    except ValueError as error:
        raise Invalid("Some fields are wrong.", fields=[FieldError("url", "url", str(error))]) from error


@transaction.atomic
def change(endpoint: Endpoint, **changes: Any) -> Endpoint:
    """`changes` are some of url, events, description, enabled."""
    endpoint = _locked(endpoint)
    if "url" in changes:
        check(changes["url"])
    if "events" in changes:
        changes["events"] = sorted(set(changes["events"]))
    enabled = changes.pop("enabled", endpoint.enabled)
    for name, value in changes.items():
        setattr(endpoint, name, value)
    if enabled != endpoint.enabled:
        _switch(endpoint, Why.BY_HAND if not enabled else "")
    endpoint.save()
    return endpoint


@transaction.atomic
def rotate(endpoint: Endpoint, *, overlap: timedelta) -> tuple[Endpoint, str]:
    """The endpoint and, this once, its new secret. Until `overlap` ends messages are signed with the old one too."""
    endpoint, secret = _locked(endpoint), signing.new_secret()
    endpoint.previous_secret = endpoint.secret if overlap else ""
    endpoint.previous_until = timezone.now() + overlap if overlap else None
    endpoint.secret = crypto.seal(secret)
    endpoint.save()
    return endpoint, secret


@transaction.atomic
def remove(endpoint: Endpoint) -> None:
    # Locked first: an event that is being written down for it waits, and then finds it gone.
    locked = (
        Endpoint.objects.for_tenant(endpoint.tenant_id).select_for_update().filter(pk=endpoint.pk).first()
    )
    if locked is not None:
        locked.delete()


@transaction.atomic
def disable(tenant_id: UUID, endpoint_id: UUID, *, why: Endpoint.Disabled) -> None:
    """Switches an endpoint off for the deliverer. The audit log has it, as it has what people do."""
    endpoint = Endpoint.objects.for_tenant(tenant_id).select_for_update().filter(pk=endpoint_id).first()
    if endpoint is not None and endpoint.enabled:
        _switch(endpoint, why)
        endpoint.save()
        logger.warning("a webhook was disabled", webhook=str(endpoint_id), why=why.value)


@transaction.atomic
def send_test(endpoint: Endpoint) -> Delivery:
    """Writes down a test message. One at a time, so that nobody floods an address through us."""
    endpoint = _usable(endpoint)
    if endpoint.deliveries.filter(event=TEST, status=Delivery.Status.PENDING).exists():
        raise Conflict("A test is on its way already.", code="in_progress")
    return Delivery.objects.for_tenant(endpoint.tenant_id).create(
        tenant_id=endpoint.tenant_id, endpoint=endpoint, message=uuid7(), event=TEST
    )


@transaction.atomic
def send_again(delivery: Delivery) -> None:
    """A finished message once more, with the same id; it is tried as often as a new one."""
    _usable(delivery.endpoint)
    finished = Delivery.objects.for_tenant(delivery.tenant_id).exclude(status=Delivery.Status.PENDING)
    again: dict[str, Any] = {"status": Delivery.Status.PENDING, "attempts": 0, "error_code": "",
                             "finished_at": None, "due_at": timezone.now()}  # fmt: skip
    if not finished.filter(pk=delivery.pk).update(**again):
        raise Conflict("It is on its way already.", code="in_progress")


@transaction.atomic
def reencrypt() -> int:
    """Seals every secret under the first key; returns how many endpoints there are. Crosses tenants.

    Raises `crypto.Unreadable` where one is under none of the keys; nothing is changed then.
    """
    rows = list(Endpoint.objects.across_tenants().select_for_update().order_by("pk"))
    for row in rows:
        row.secret = crypto.resealed(row.secret)
        row.previous_secret = crypto.resealed(row.previous_secret) if row.previous_secret else ""
    # In bulk, which the audit log does not see: nobody changed a secret.
    Endpoint.objects.across_tenants().bulk_update(rows, ["secret", "previous_secret"])
    return len(rows)


def _usable(endpoint: Endpoint) -> Endpoint:
    endpoint = _locked(endpoint)
    if not endpoint.enabled:
        raise Conflict("The webhook is disabled.", code="webhook_disabled")
    return endpoint


def _locked(endpoint: Endpoint) -> Endpoint:
    """As it is now; raises NotFound where somebody removed it."""
    return Endpoint.objects.for_tenant(endpoint.tenant_id).select_for_update().one(endpoint.pk)


def _switch(endpoint: Endpoint, why: str) -> None:
    """Off for a reason, or on again without one. What waited is not sent once it is on again: it would be late news."""
    endpoint.enabled, endpoint.disabled_because = not why, why
    endpoint.disabled_at = timezone.now() if why else None
    endpoint.failing_since = None
    if why:
        waiting = Delivery.objects.for_tenant(endpoint.tenant_id).filter(
            endpoint=endpoint, status=Delivery.Status.PENDING
        )
        waiting.update(
            status=Delivery.Status.FAILED,
            claim=None,
            error_code="webhook_disabled",
            finished_at=timezone.now(),
        )
