"""One process at a time, as far as Redis can tell: for work that is wasted when two do it, and does no harm."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex

from redis import Redis

from ragsite.lib import redis_client

_SECONDS = 10  # who died is taken for busy so long
_OURS = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
_KEEP = redis_client.Script(_OURS + "return redis.call('EXPIRE', KEYS[1], ARGV[2])")
_RELEASE = redis_client.Script(_OURS + "return redis.call('DEL', KEYS[1])")


@contextmanager
def alone(name: str) -> Iterator[Callable[[], None] | None]:
    """Yields None where another process is at it; else a function to call every few seconds, to keep others off.

    Without Redis every process gets such a function.
    """
    mark, token = f"solo:{name}", token_hex(8)

    def take(client: Redis) -> bool:
        return bool(client.set(mark, token, nx=True, ex=_SECONDS))

    def keep() -> None:
        redis_client.attempted(lambda client: _KEEP(client, keys=[mark], arguments=[token, _SECONDS]))

    if redis_client.attempted(take) is False:
        yield None
        return
    try:
        yield keep
    finally:
        redis_client.attempted(lambda client: _RELEASE(client, keys=[mark], arguments=[token]))
