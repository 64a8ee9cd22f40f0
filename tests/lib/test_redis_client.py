import time

import pytest
from redis import Redis, RedisError

from ragsite.lib import redis_client
from ragsite.lib.errors import Unavailable
from tests.outages import redis_refused


def ping(client: Redis) -> object:
    return client.ping()


def test_result_is_the_calls() -> None:
    assert redis_client.guarded(ping)


def test_breaker_opens_and_then_nobody_waits() -> None:
    with redis_refused():
        for _ in range(3):
            with pytest.raises(RedisError):
                redis_client.guarded(ping)
        started = time.perf_counter()
        for _ in range(100):
            with pytest.raises(Unavailable):
                redis_client.guarded(ping)
        assert time.perf_counter() - started < 0.5


def test_what_is_no_fault_of_redis_does_not_open_it() -> None:
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            redis_client.guarded(lambda _: 1 / 0)
    assert redis_client.guarded(ping)


def test_time_outs_are_short() -> None:
    options = redis_client.client().connection_pool.connection_kwargs
    assert options["socket_timeout"] == options["socket_connect_timeout"] <= 0.5
    assert options["retry"].get_retries() == 0


def test_each_of_many_threads_has_a_connection() -> None:
    pool = redis_client.client().connection_pool
    held = [pool.get_connection() for _ in range(150)]
    for connection in held:
        pool.release(connection)
