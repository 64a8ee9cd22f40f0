"""The process's connection to Redis, and the one breaker around it.

Redis may be dead, hung or slow. Each call gives up after REDIS_TIMEOUT_MS; after a few failures in a row the
breaker opens and calls fail at once, so that requests go on without Redis instead of each waiting for it.
"""

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, TypeVar, cast

from django_redis import get_redis_connection
from redis import Redis, RedisError
from redis.exceptions import NoScriptError

from ragsite.lib.breaker import Breaker
from ragsite.lib.errors import Unavailable

Result = TypeVar("Result")

PROBE_SECONDS = 0.5  # between two tries whether Redis is back, so that the site is itself again soon after

DOWN = (RedisError, Unavailable)
"""What a guarded call raises when Redis cannot be had."""


class Script:
    """A Lua script. The server keeps it after its first call, and is then told its digest alone."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._digest = sha1(text.encode()).hexdigest()  # noqa: S324  as Redis names it; nothing is kept secret by it

    def __call__(
        self, client: Redis, *, keys: Sequence[str], arguments: Sequence[str | bytes | float]
    ) -> Any:
        """What the script returns, as it stands in the reply; raises RedisError."""
        try:
            return _send(client, "EVALSHA", self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *arguments)


def _send(client: Redis, *command: str | bytes | float) -> Any:
    """One command and its reply. redis-py's own way (callbacks, retries, events) takes twice the processor time."""
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_command(*command)  # type: ignore[no-untyped-call]
        # A connection that failed is closed by then, and opened when next used.
        return connection.read_response()
    finally:
        pool.release(connection)


def new_breaker() -> Breaker:
    """A closed breaker. A thread finds out whether Redis is back, so that no request is slow because it has to."""
    return Breaker("Redis", failures=3, reset_seconds=PROBE_SECONDS, counts=_is_redis, answers=_answers)


def _is_redis(error: Exception) -> bool:
    return isinstance(error, RedisError)


def _answers() -> bool:
    try:
        return bool(client().ping())
    except RedisError:
        return False


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


_breaker = new_breaker()
