"""Tells Redis of a change in Postgres: at once, or as soon as Redis is back.

Redis comes back with the copies that it had: it may only have hung, or have kept them in its append-only file. A key
that was revoked meanwhile would work again until its copy expires, so the news that Redis missed has to follow.
"""

import time
from collections import deque
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any

import structlog
from redis import Redis, RedisError

from ragsite.lib import redis_client
from ragsite.lib.concurrency.per_process import PerProcess

PATIENCE_SECONDS = 120.0  # every copy that news could be about has ended by then
PAUSE_SECONDS = 0.2

logger = structlog.get_logger(__name__)

News = Callable[[Redis], Any]


def announce(news: News) -> None:
    """Runs `news(client)` now or later, in the order of the announcements; it may run twice. Never waits for Redis."""
    _heralds.get("").announce(news)


class _Herald:
    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[tuple[float, News]] = deque()

    def announce(self, news: News) -> None:
        if self._waiting or not self._told(news):
            self._keep(news)

    def _told(self, news: News) -> bool:
        try:
            redis_client.guarded(news)
        except redis_client.DOWN:
            return False
        return True

    def _keep(self, news: News) -> None:
        with self._lock:
            self._waiting.append((time.monotonic(), news))
            begin = len(self._waiting) == 1
        if begin:
            logger.warning("Redis could not be told of a change, and will be when it is back")
            Thread(target=self._follow_up, name="announcements", daemon=True).start()

    def _follow_up(self) -> None:
        """Past the breaker, which would let one call a second through: this is what the site's safety waits for."""
        while True:
            since, news = self._waiting[0]
            if not _delivered(news) and time.monotonic() - since < PATIENCE_SECONDS:
                time.sleep(PAUSE_SECONDS)
                continue
            with self._lock:
                self._waiting.popleft()
                if not self._waiting:
                    return


def _delivered(news: News) -> bool:
    try:
        news(redis_client.client())
    except RedisError:
        return False
    except Exception:  # a boundary: what is wrong with one piece of news must not hold up the next for ever
        logger.exception("Redis could not be told of a change")
    return True


_heralds = PerProcess[str, _Herald](lambda _: _Herald())
