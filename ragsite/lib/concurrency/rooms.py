"""How many requests of a process may wait for models at once. Each holds a thread, and other requests need some too."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings

from ragsite.lib.concurrency.thread_limits import ThreadLimit

_KEPT_FOR_OTHERS = 8  # one in so many: no tenant may keep all the others from asking
_limit = ThreadLimit(
    code="too_many_waiting",
    detail="As many answers are being waited for as can be. Try again.",
    retry_after=2,
)


@contextmanager
def room(tenant_id: UUID) -> Iterator[None]:
    """Wraps a block that waits for a model. Raises Unavailable (`too_many_waiting`) where no thread is left."""
    threads = settings.LONG_REQUESTS
    _limit.take(tenant_id, threads=threads, for_others=max(1, threads // _KEPT_FOR_OTHERS))
    try:
        yield
    finally:
        _limit.leave(tenant_id)
