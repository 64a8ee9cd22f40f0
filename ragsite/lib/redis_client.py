"""The process's connection to Redis, and the one breaker around it.

Redis may be dead, hung or slow. Each call gives up after REDIS_TIMEOUT_MS; after a few failures in a row the
breaker opens and calls fail at once, so that requests go on without Redis instead of each waiting for it.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from django_redis import get_redis_connection
from redis import Redis, RedisError

from ragsite.lib.breaker import Breaker
from ragsite.lib.errors import Unavailable

Result = TypeVar("Result")

# One call in a second tries whether Redis is back, so that the site is itself again soon after.
_breaker = Breaker("Redis", failures=3, reset_seconds=1, counts=lambda error: isinstance(error, RedisError))

DOWN = (RedisError, Unavailable)
"""What a guarded call raises when Redis cannot be had."""


def client() -> Redis:
    return cast("Redis", get_redis_connection("default"))


def attempted(call: Callable[[Redis], Result]) -> Result | None:
    """As `guarded`, for what may be left undone: None when Redis cannot be had."""
    try:
        return guarded(call)
    except DOWN:
        return None


def guarded(call: Callable[[Redis], Result]) -> Result:
    """`call(client)`; raises one of `DOWN` when Redis cannot be had or the breaker is open."""
    with _breaker.guarding():
        return call(client())
