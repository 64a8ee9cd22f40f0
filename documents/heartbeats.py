"""Extends a worker's lease from a thread of its own while its work goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

_BEATS_A_LEASE = 4

logger = structlog.get_logger(__name__)


@contextmanager
def beating(extend: Callable[[], object], **named: object) -> Iterator[None]:
    """Calls `extend` a few times a lease while the block runs. `named`: what the log says was being worked on."""
    over = Event()
    thread = Thread(target=_beat, args=(extend, over, named), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(extend: Callable[[], object], over: Event, named: dict[str, object]) -> None:
    while not over.wait(settings.INGEST_LEASE_SECONDS / _BEATS_A_LEASE):
        try:
            extend()
        except DatabaseError as error:  # a blip; the lease outlives a few lost beats
            logger.warning("a heartbeat was lost", error=str(error), **named)
        finally:
            connection.close()  # else it would keep one of the pool's for as long as the work takes
