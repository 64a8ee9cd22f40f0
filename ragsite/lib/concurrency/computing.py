"""Slots to compute in: of the threads that compute for long, a few in each process go on, and the others queue.

Python runs one thread at a time, and lets each go on for milliseconds. If a hundred computed at once, a request that
needs one millisecond would wait for all of them, again and again, and a hundred would want connections to Postgres.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ragsite.lib import postgres
from ragsite.lib.concurrency import presence
from ragsite.lib.concurrency.per_process import PerProcess

LOOK_SECONDS = 0.5
AT_ONCE = 4  # most of a search is Postgres's work, so that one alone would leave the processor idle

_semaphores = PerProcess(threading.Semaphore)
_held: ContextVar[bool] = ContextVar("ragsite.computing", default=False)


@contextmanager
def slot(*, for_client: bool = True) -> Iterator[None]:
    """Runs the block as one of AT_ONCE in this process. A thread that has a slot already keeps it.

    Raises ClientLeft where the client leaves while its request queues. `for_client` False: the work has to be done
    whether or not the client stays.
    """
    if _held.get():
        yield
        return
    _take(look=presence.check if for_client else _nothing)
    try:
        yield
    finally:
        _release()


@contextmanager
def given_back() -> Iterator[None]:
    """What runs in the block only waits: a slot that was held is somebody else's meanwhile."""
    if not _held.get():
        yield
        return
    _release()
    try:
        yield
    finally:
        _take()


def _nothing() -> None:
    """Looks at nobody."""


def _take(*, look: Callable[[], None] = _nothing) -> None:
    semaphore = _semaphores.get(AT_ONCE)
    if not semaphore.acquire(blocking=False):
        postgres.give_back()
        while not semaphore.acquire(timeout=LOOK_SECONDS):
            look()
    _held.set(True)


def _release() -> None:
    _held.set(False)
    _semaphores.get(AT_ONCE).release()
