"""Token buckets in this process's memory: what limits callers while Redis, which all processes share, is away."""

import time
from threading import Lock

_MAX_BUCKETS = 10_000


class LocalBuckets:
    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when that was
        self._lock = Lock()

    def seen(self, name: str, tokens: float) -> None:
        """Notes the tokens that Redis counted, so that the bucket is not full again the moment that Redis goes away."""
        with self._lock:
            self._make_room(name)
            self._buckets[name] = (tokens, time.monotonic())

    def take(self, name: str, *, per_second: float, burst: int) -> float:
        """Tokens left after taking one; below zero: there was none, and none was taken."""
        now = time.monotonic()
        with self._lock:
            self._make_room(name)
            tokens, at = self._buckets.get(name, (float(burst), now))
            tokens = min(burst, tokens + (now - at) * per_second)
            left = tokens - 1
            self._buckets[name] = (left if left >= 0 else tokens, now)
            return left

    def _make_room(self, name: str) -> None:
        if name not in self._buckets and len(self._buckets) >= _MAX_BUCKETS:
            self._buckets.clear()  # nobody is refused by mistake; at worst somebody is let in too often

    def forget(self) -> None:
        with self._lock:
            self._buckets.clear()
