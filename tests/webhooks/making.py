"""What the tests of webhooks are made of."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from tests.makers import Party
from webhooks import endpoints
from webhooks.delivering import Deliverer
from webhooks.models import Delivery, Endpoint, Event


def make_webhook(party: Party, url: str, **fields: Any) -> tuple[Endpoint, str]:
    return endpoints.add(party.tenant, url=url, **({"events": list(Event.values)} | fields))


def deliver(*, seconds: float = 30) -> None:
    deliverer = Deliverer()
    deliverer.run(seconds=seconds, pulse=lambda: None)
    deliverer.drain()


def only(party: Party) -> Delivery:
    return Delivery.objects.for_tenant(party.tenant).get()


def time_passes(**much: float) -> None:
    """Until the next tries are due."""
    earlier = timezone.now() - timedelta(**(much or {"days": 1}))
    Delivery.objects.across_tenants().filter(status="pending").update(due_at=earlier)
