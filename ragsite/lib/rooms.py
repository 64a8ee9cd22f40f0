"""How many requests of a process may wait for models at once: each holds a thread, and some are left for the rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings

from ragsite.lib.seats import Seats

# One in so many is other tenants': else one could keep all the others from asking anything.
_LEFT_FOR_OTHERS = 8
_seats = Seats(
    code="too_many_waiting",
    detail="As many answers are being waited for as can be. Try again.",
    retry_after=2,
)


@contextmanager
def room(tenant_id: UUID) -> Iterator[None]:
    """What runs in the block waits for a model. Raises Unavailable (`too_many_waiting`) where there is no room for it."""
    rooms = settings.LONG_REQUESTS
    _seats.take(tenant_id, seats=rooms, for_others=max(1, rooms // _LEFT_FOR_OTHERS))
    try:
        yield
    finally:
        _seats.leave(tenant_id)
