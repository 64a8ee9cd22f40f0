"""How quickly an embedding endpoint may be asked: by its limits a minute and by what it says itself.

That holds for all processes together: one hash a model in Redis says when the next request may go out. Without Redis
each process keeps that for itself.
"""

import time
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from redis import Redis

from ragsite.lib import redis_client
from ragsite.lib.concurrency.per_process import PerProcess
from ragsite.lib.errors import Unavailable
from ragsite.lib.inference.embeddings import EmbeddingModel
from ragsite.lib.inference.vendor_errors import LONGEST_HOLD

_MINUTE = 60.0
_KEPT_SECONDS = 3_600

# A reservation: returns the seconds to wait, and moves the next one's turn behind it. A wait beyond the patience is
# returned and not reserved. `urgent` counts and does not wait.
_RESERVE = redis_client.Script("""
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local next_turn = tonumber(redis.call('HGET', KEYS[1], 'turn') or '0')
local hold = tonumber(redis.call('HGET', KEYS[1], 'hold') or '0')
local turn = math.max(now, next_turn)
local wait = math.max(turn, hold) - now
local urgent = ARGV[3] == '1'
if not urgent and wait > tonumber(ARGV[2]) then return tostring(wait) end
if not urgent then turn = now + wait end
redis.call('HSET', KEYS[1], 'turn', string.format('%.6f', turn + tonumber(ARGV[1])))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return tostring(wait)
""")

_HOLD = redis_client.Script("""
local time = redis.call('TIME')
local hold = time[1] + time[2] / 1000000 + tonumber(ARGV[1])
if hold > tonumber(redis.call('HGET', KEYS[1], 'hold') or '0') then
  redis.call('HSET', KEYS[1], 'hold', string.format('%.6f', hold))
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
""")


@dataclass
class _Local:
    turn: float = 0.0
    hold: float = 0.0

    def __post_init__(self) -> None:
        self._lock = Lock()

    def reserve(self, cost: float, patience: float, *, urgent: bool) -> float:
        with self._lock:
            now = time.monotonic()
            wait = max(self.turn, self.hold, now) - now
            if urgent:
                self.turn = max(self.turn, now) + cost
            elif wait <= patience:
                self.turn = now + wait + cost
            return wait


_locals: PerProcess[str, _Local] = PerProcess(lambda _: _Local())


def wait(model: EmbeddingModel, tokens: int, *, patience_seconds: float) -> None:
    """Sleep until a request of so many tokens may go out. Without patience (a question) it goes at once and is counted.

    Raises `Unavailable` where its turn would come only after `patience_seconds`; it is not counted then.
    """
    urgent = patience_seconds <= 0
    cost = _cost(model, tokens)
    if urgent and not cost:
        return
    seconds = _reserve(model, cost, patience_seconds, urgent=urgent)
    if urgent or seconds <= 0:
        return
    if seconds > patience_seconds:
        raise Unavailable(
            "The embedding endpoint's limits leave no room for now.",
            headers={"Retry-After": str(round(seconds) + 1)},
        )
    time.sleep(seconds)


def hold(model: EmbeddingModel, seconds: float) -> None:
    """Let nobody who is patient ask before so many seconds are over: the endpoint said so."""
    bounded = min(seconds, LONGEST_HOLD)
    local = _locals.get(_key(model))
    local.hold = max(local.hold, time.monotonic() + bounded)
    redis_client.attempted(lambda redis: _HOLD(redis, keys=[_key(model)], arguments=[bounded, _KEPT_SECONDS]))


def correct(model: EmbeddingModel, tokens: int) -> None:
    """Count so many tokens more, or fewer where negative, than a request was thought to have."""
    if model.tokens_per_minute and tokens:
        seconds = tokens * _MINUTE / model.tokens_per_minute
        redis_client.attempted(lambda redis: redis.hincrbyfloat(_key(model), "turn", seconds))


def _cost(model: EmbeddingModel, tokens: int) -> float:
    """Seconds of the endpoint's limits that a request takes up."""
    request = _MINUTE / model.requests_per_minute if model.requests_per_minute else 0.0
    return max(request, tokens * _MINUTE / model.tokens_per_minute if model.tokens_per_minute else 0.0)


def _reserve(model: EmbeddingModel, cost: float, patience: float, *, urgent: bool) -> float:
    def shared(redis: Redis) -> float:
        arguments = [cost, patience, int(urgent), _KEPT_SECONDS]
        return float(_RESERVE(redis, keys=[_key(model)], arguments=arguments))

    try:
        return redis_client.guarded(shared)
    except redis_client.DOWN:
        return _locals.get(_key(model)).reserve(cost, patience, urgent=urgent)


def _key(model: EmbeddingModel) -> str:
    # Hashed, for an address may carry a password.
    return f"pace:{sha256(f'{model.base_url} {model.model}'.encode()).hexdigest()[:32]}"
