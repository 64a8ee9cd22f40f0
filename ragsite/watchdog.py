"""Ends a worker that is connected and takes no messages any more, so that whoever runs it starts it again.

Celery on Redis has been seen in that state after its connection was lost and made anew, release after release
(celery/celery issues 8030, 8384, 10205, 10302): the process is alive, answers pings, and leaves its queues alone for
ever. It cannot be trusted to notice by itself, and starting it again is what helps; nothing is lost by that, since the
worker that is ended has nothing in hand.
"""

import os
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

import structlog
from billiard import active_children
from celery.signals import worker_ready
from celery.worker import state
from django.conf import settings

from ragsite.lib import redis_client

LOOK_SECONDS = 1.0
EXIT_CODE = os.EX_TEMPFAIL
MESSAGE = "the worker leaves messages alone, and ends to be started again"

logger = structlog.get_logger(__name__)


class Watch:
    """Whether a worker has left messages alone for too long. To be asked now and then."""

    def __init__(self, *, patience: float, now: Callable[[], float] = time.monotonic) -> None:
        """`patience` in seconds."""
        self._patience = patience
        self._now = now
        self._taken: Any = None
        self._since = now()

    def is_stuck(self, *, waiting: bool, busy: bool, taken: Any) -> bool:
        """`waiting`: messages are in its queues; `busy`: it works on some; `taken`: a count of all that it took."""
        if not waiting or busy or taken != self._taken:
            self._taken, self._since = taken, self._now()
        return self._now() - self._since >= self._patience


@worker_ready.connect
def watch(sender: Any, **_: Any) -> None:
    """Looks from a thread of the worker's main process, which is the one that takes messages."""
    # By name, now: a queue that it stops consuming is no longer among those that it says it consumes.
    queues = sorted(sender.app.amqp.queues.consume_from)
    Thread(target=_look_on, args=(queues,), name="watchdog", daemon=True).start()


def _look_on(queues: Sequence[str]) -> None:
    watch = Watch(patience=settings.WORKER_PATIENCE_SECONDS)
    while not watch.is_stuck(waiting=_waiting(queues), busy=bool(state.reserved_requests), taken=_taken()):
        time.sleep(LOOK_SECONDS)
    logger.critical(MESSAGE, queues=queues)
    for child in active_children():
        child.terminate()
    os._exit(EXIT_CODE)  # what is stuck may not let it end in any better way


def _waiting(queues: Sequence[str]) -> bool:
    """Whether messages wait. Not while Redis is away: then nobody can take one."""

    def lengths(client: Any) -> list[int]:
        with client.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.llen(queue)
            return list(pipeline.execute())

    return any(redis_client.attempted(lengths) or [])


def _taken() -> int:
    return sum(state.total_count.values())
