"""Writes events down in the transaction that they happen in.

What is rolled back was never told, and what is committed is told however often a process dies.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db import connection
from django.utils import timezone

from ragsite.lib.identifiers import uuid7
from webhooks.models import Delivery, Event

# Locked against its removal alone, so that transactions do not wait for one another.
_LISTENING = """
SELECT id FROM webhooks_endpoint
WHERE tenant_id = %(tenant)s AND enabled AND %(event)s = ANY (events) FOR KEY SHARE
"""


def note(tenant_id: UUID, document_ids: Iterable[UUID], event: Event) -> None:
    """Writes a message for each document and each of the tenant's endpoints that want to hear of the event.

    To be called in the transaction that makes it so, before any lock on the corpus is taken.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LISTENING, {"tenant": tenant_id, "event": event.value})
        endpoints = [endpoint_id for (endpoint_id,) in cursor.fetchall()]
    if not endpoints:
        return
    rows = [
        Delivery(
            tenant_id=tenant_id, endpoint_id=endpoint, message=message, event=event, document_id=document
        )
        for document, message in ((document, uuid7()) for document in document_ids)
        for endpoint in endpoints
    ]
    Delivery.objects.for_tenant(tenant_id).bulk_create(rows)


def is_due(tenant_id: UUID) -> bool:
    """Whether anything of the tenant's waits to be sent now."""
    pending = Delivery.objects.for_tenant(tenant_id).filter(status=Delivery.Status.PENDING)
    return pending.filter(endpoint__enabled=True, due_at__lte=timezone.now()).exists()
