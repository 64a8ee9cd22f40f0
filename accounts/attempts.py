"""Guessing passwords from one address is slow, whichever names are tried."""

import re

from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from django_redis.exceptions import ConnectionInterrupted
from redis import RedisError

from ragsite.lib import redis_client
from ragsite.lib.addresses import ratelimit_key
from ragsite.lib.errors import RateLimited
from ragsite.lib.ratelimit import LocalBuckets

RATE = re.compile(r"([1-9]\d*)/([1-9]\d*)?([smhd])")  # django-ratelimit's form, without what it lets pass
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

buckets = LocalBuckets()


def count(request: HttpRequest, *, group: str) -> None:
    """Counts one try of the request's address; raises RateLimited beyond TOKEN_RATE."""
    try:
        wait = redis_client.guarded(lambda _: _shared(request, group))
    except redis_client.DOWN:
        wait = _local(request, group)
    if wait:
        raise RateLimited(
            f"Too many tries from this address. Try again in {wait} s.", headers={"Retry-After": str(wait)}
        )


def _shared(request: HttpRequest, group: str) -> int:
    """Seconds to wait, as all processes count; 0: none."""
    try:
        usage = get_usage(request, group=group, key=ratelimit_key, rate=settings.TOKEN_RATE, increment=True)
    except ConnectionInterrupted as error:
        raise RedisError(str(error)) from error  # as the breaker knows it
    if usage is None or not usage["should_limit"]:
        return 0
    return max(1, int(usage["time_left"]) + 1)


def _local(request: HttpRequest, group: str) -> int:
    burst, period = parse(settings.TOKEN_RATE)
    per_second = burst / period
    left = buckets.take(f"{group}:{ratelimit_key(group, request)}", per_second=per_second, burst=burst)
    return 0 if left >= 0 else max(1, round(-left / per_second + 0.5))


def parse(rate: str) -> tuple[int, int]:
    """How many, and in how many seconds: `10/m` is (10, 60). Raises ValueError."""
    found = RATE.fullmatch(rate)
    if found is None:
        raise ValueError(f"{rate!r} is no rate")
    tries, several, unit = found.groups()
    return int(tries), int(several or 1) * _SECONDS[unit]
