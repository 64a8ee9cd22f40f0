"""Ways in which Redis goes away, for the length of a block."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import override_settings

from ragsite import embedded
from ragsite.lib import redis_client

REFUSED = "redis://127.0.0.1:1/0"  # nothing listens there


@contextmanager
def redis_at(url: str) -> Iterator[None]:
    """Everything in this process takes this for its Redis; the breaker starts closed, before and after."""
    with override_settings(CACHES={"default": {**settings.CACHES["default"], "LOCATION": url}}):
        _close_breaker()
        try:
            yield
        finally:
            _close_breaker()


@contextmanager
def redis_waited_for() -> Iterator[None]:
    """The tests' own Redis, which may take its time: on a busy machine a round trip can outlast a request's patience,
    and what is exact with Redis is not without it."""
    url = settings.REDIS_URL
    with redis_at(f"{url}{'&' if '?' in url else '?'}socket_timeout=20&socket_connect_timeout=20"):
        yield


@contextmanager
def redis_refused() -> Iterator[None]:
    with redis_at(REFUSED):
        yield


@contextmanager
def redis_of_its_own(directory: Path) -> Iterator[Any]:
    """A server that may be stopped and continued; yields its process."""
    server = embedded.Redis(directory, durable=False)
    process = embedded.start(server, log=directory / "redis.log")
    try:
        with redis_at(embedded.redis_url(directory)):
            yield process
    finally:
        os.kill(process.pid, signal.SIGCONT)
        embedded.stop(server, process)


def _close_breaker() -> None:
    redis_client._breaker = redis_client.new_breaker()
