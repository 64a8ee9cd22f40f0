"""How many requests of a process may wait for models at once: each holds a thread, and some are left for the rest."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings

from ragsite.lib.errors import Unavailable

RETRY_AFTER_SECONDS = 2
_LEFT_FOR_OTHERS = (
    8  # one in so many is other tenants': else one could keep all the others from asking anything
)

_taken: Counter[UUID] = Counter()
_counting = (
    threading.RLock()
)  # a stream that nobody closed leaves when it is found to be garbage, at any moment


@contextmanager
def room(tenant_id: UUID) -> Iterator[None]:
    """What runs in the block waits for a model. Raises Unavailable (`too_many_waiting`) where there is no room for it."""
    _take(tenant_id)
    try:
        yield
    finally:
        _leave(tenant_id)


def _take(tenant_id: UUID) -> None:
    rooms = settings.LONG_REQUESTS
    with _counting:
        if _taken.total() >= rooms or _taken[tenant_id] >= max(1, rooms - max(1, rooms // _LEFT_FOR_OTHERS)):
            raise Unavailable(
                "As many answers are being waited for as can be. Try again.",
                code="too_many_waiting",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        _taken[tenant_id] += 1


def _leave(tenant_id: UUID) -> None:
    with _counting:
        _taken[tenant_id] -= 1
        if not _taken[tenant_id]:
            del _taken[tenant_id]
