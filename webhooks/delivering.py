"""Sends what is due: many at once, and of each tenant and endpoint only some, so that a slow one holds up no other."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

import structlog
from django.conf import settings
from django.utils import timezone

from ragsite.lib import crypto, outbound, row_security
from ragsite.lib.outbound import Limits, Reply
from webhooks import deliveries, signing
from webhooks.deliveries import Try
from webhooks.models import Delivery, Endpoint

AT_ONCE, AT_ONCE_A_TENANT, AT_ONCE_AN_ENDPOINT = 32, 4, 2
_LOOK_SECONDS = 0.5  # how soon something new is seen while all that is under way is slow

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Flight:
    """A message under way: since when, and since when by the monotonic clock, in seconds."""

    delivery: Delivery
    at: datetime
    started: float


class Deliverer:
    """Takes what is due and sends it in the background, until there is nothing or its time is up."""

    def __init__(self) -> None:
        self._flights: dict[Future[Reply], Flight] = {}

    def run(self, *, seconds: float, pulse: Callable[[], None]) -> None:
        """Crosses tenants. Calls `pulse` every half second or so. When time is up, `drain` waits for the rest."""
        until = monotonic() + seconds
        while monotonic() < until:
            pulse()
            self._take_off()
            if not self._flights:
                return
            self._land()

    def drain(self) -> None:
        while self._flights:
            self._land()

    def _take_off(self) -> None:
        of_tenant = Counter(flight.delivery.tenant_id for flight in self._flights.values())
        of_endpoint = Counter(flight.delivery.endpoint_id for flight in self._flights.values())
        for endpoint in deliveries.waiting():
            # One that fails is asked one at a time: it may be down because it is asked too much.
            own = 1 if endpoint.failing_since else AT_ONCE_AN_ENDPOINT
            room = min(
                AT_ONCE - of_tenant.total(),
                AT_ONCE_A_TENANT - of_tenant[endpoint.tenant_id],
                own - of_endpoint[endpoint.pk],
            )
            if room > 0:
                sent = _sent(endpoint, deliveries.take(endpoint, room))
                of_tenant[endpoint.tenant_id] += len(sent)
                self._flights |= sent

    def _land(self) -> None:
        landed, _ = wait(self._flights, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
        for future in landed:
            flight = self._flights.pop(future)
            with row_security.within(flight.delivery.tenant_id):
                deliveries.record(flight.delivery, _ended(future, flight))


def is_due() -> bool:
    """Whether anything of any tenant's waits to be sent now. Crosses tenants."""
    return bool(deliveries.waiting())


def _sent(endpoint: Endpoint, taken: Iterable[Delivery]) -> dict[Future[Reply], Flight]:
    return {_send(endpoint, delivery): Flight(delivery, timezone.now(), monotonic()) for delivery in taken}


def _send(endpoint: Endpoint, delivery: Delivery) -> "Future[Reply]":
    data = {} if delivery.document_id is None else {"document_id": str(delivery.document_id)}
    body = signing.payload(delivery.event, at=delivery.created_at, data=data)
    try:
        secrets = deliveries.secrets(endpoint)
    except crypto.Unreadable:
        logger.warning("a webhook's secret is under none of the keys", webhook=str(endpoint.pk))
        return _failed("secret")
    headers = signing.headers(delivery.message, body, at=timezone.now(), with_secrets=secrets)
    limits = Limits(seconds=settings.WEBHOOK_TIMEOUT_SECONDS, networks=settings.WEBHOOK_ALLOWED_NETWORKS)
    return outbound.post(endpoint.url, body=body, headers=headers, limits=limits)


def _failed(code: str) -> "Future[Reply]":
    future: Future[Reply] = Future()
    future.set_exception(outbound.Failed(code))
    return future


def _ended(future: "Future[Reply]", flight: Flight) -> Try:
    milliseconds = round((monotonic() - flight.started) * 1000)
    error = future.exception()
    if isinstance(error, outbound.Failed):
        return Try(flight.at, milliseconds, error=error.code)
    return Try(flight.at, milliseconds, reply=future.result())
