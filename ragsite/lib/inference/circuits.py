"""Circuit breakers of endpoints, and how many calls each takes at once, for all processes together.

An endpoint that failed several times in a row is left alone for a while; then a single call probes it, and closes its
circuit or opens it again. A limited number of calls may be under way, and each holds its place by a lease, so that the
places of a killed process are free again when their leases end. Entering takes one round trip to Redis, and leaving
none that a caller waits for, as long as all is well. (pybreaker's own storage in Redis asks several times a call, and
lets every process probe.)
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal
from uuid import uuid4

import structlog

from ragsite.lib import redis_client
from ragsite.lib.concurrency import waiting
from ragsite.lib.concurrency.per_process import PerProcess
from ragsite.lib.inference.circuit_alone import Alone
from ragsite.lib.inference.circuit_rules import Refusal, Rules, Ticket, Verdict
from ragsite.lib.inference.vendor_client import Endpoint

KEPT_MS = 3_600_000  # what nobody has touched for so long says nothing any more
_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.02, 0.2

# KEYS: the circuit, its places. ARGV: ticket, model, places (0: any number), lease in ms.
_ENTER = redis_client.Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'until', 'probe', 'held:' .. ARGV[2])
local open, probe, held = tonumber(known[1] or 0), tonumber(known[2] or 0), tonumber(known[3] or 0)
if held > now then return {'held', held - now} end
if open > now then return {'open', open - now} end
if open > 0 and probe > now then return {'open', 1000} end
local places, lease = tonumber(ARGV[3]), tonumber(ARGV[4])
if places > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  if redis.call('ZCARD', KEYS[2]) >= places then return {'full', 1000} end
  redis.call('ZADD', KEYS[2], now + lease, ARGV[1])
  if redis.call('PTTL', KEYS[2]) < lease then redis.call('PEXPIRE', KEYS[2], lease) end
end
if open > 0 then
  redis.call('HSET', KEYS[1], 'probe', now + lease, 'prober', ARGV[1])
  return {'probing', 0}
end
return {'in', 0}
""")

# KEYS as above. ARGV: ticket, model, verdict, failures that open, ms that it stays open, ms of a hold, KEPT_MS.
_LEAVE = redis_client.Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREM', KEYS[2], ARGV[1])
if tonumber(ARGV[6]) > 0 then redis.call('HSET', KEYS[1], 'held:' .. ARGV[2], now + ARGV[6]) end
local known = redis.call('HMGET', KEYS[1], 'until', 'prober')
local open, probed = tonumber(known[1] or 0), known[2] == ARGV[1]
local became = ''
if ARGV[3] == 'well' and (probed or open == 0) then
  redis.call('HDEL', KEYS[1], 'failures', 'until', 'probe', 'prober')
  if open > 0 then became = 'closed' end
elseif ARGV[3] == 'down' and (probed or open == 0) then
  if redis.call('HINCRBY', KEYS[1], 'failures', 1) >= tonumber(ARGV[4]) or probed then
    redis.call('HDEL', KEYS[1], 'failures', 'probe', 'prober')
    redis.call('HSET', KEYS[1], 'until', now + ARGV[5])
    became = 'open'
  end
elseif probed then
  redis.call('HDEL', KEYS[1], 'probe', 'prober')
end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[7]) end
return became
""")

_STATE = redis_client.Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local open = tonumber(redis.call('HGET', KEYS[1], 'until') or 0)
return {open > now and 'open' or (open > 0 and 'half-open' or 'closed'), redis.call('ZCOUNT', KEYS[2], now, '+inf')}
""")

State = Literal["closed", "open", "half-open", "unknown"]

logger = structlog.get_logger(__name__)


def of(endpoint: Endpoint) -> "Circuit":
    """The circuit that all calls of this purpose to this address share, whatever their models and timeouts."""
    identity = f"{endpoint.purpose} {endpoint.base_url}"
    # Hashed, for an address may carry a password.
    return _circuits.get((endpoint.name, sha256(identity.encode()).hexdigest()[:32], endpoint.rules))


def forget() -> None:
    """As if nothing had ever failed at any endpoint that this process has asked; for tests, whose ports come back."""
    for circuit in _circuits.made():
        circuit.forget()
    _circuits.forget()


@dataclass
class Circuit:
    """One endpoint's. `key` is its name in Redis, the same in all processes; `name` is for people."""

    name: str
    key: str
    rules: Rules
    _alone: Alone = field(init=False)

    def __post_init__(self) -> None:
        self._alone = Alone(self.rules)

    def enter(self, model: str, *, lease_seconds: float, patience_seconds: float) -> "Passage | Refusal":
        """A place for a call to `model`, for which it waits where all are taken."""
        until, pause = time.monotonic() + patience_seconds, _POLL_SECONDS
        while True:
            told = self._enter(Ticket(uuid4().hex, model, lease_seconds))
            if isinstance(told, Passage) or told.why != "full" or time.monotonic() + pause > until:
                return told
            waiting.pause(pause)
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)

    def _enter(self, ticket: Ticket) -> "Passage | Refusal":
        lease_ms = round(ticket.lease_seconds * 1000)
        arguments: Sequence[str | float] = [ticket.id, ticket.model, self.rules.places, lease_ms]
        try:
            reply = redis_client.guarded(lambda redis: _ENTER(redis, keys=self._keys, arguments=arguments))
        except redis_client.DOWN:
            return self._alone.enter(ticket) or Passage(self, ticket, shared=False, probing=True)
        told, seconds = reply[0].decode(), reply[1] / 1000
        if told in {"in", "probing"}:
            return Passage(self, ticket, shared=True, probing=told == "probing")
        if told == "open":
            self._alone.opened(seconds)
        return Refusal(told, seconds)

    def leave(self, ticket: Ticket, verdict: Verdict, *, hold_seconds: float, shared: bool) -> None:
        if not shared:
            self._alone.leave(ticket, verdict, hold_seconds=hold_seconds)
            return
        rules = self.rules
        spans = [round(seconds * 1000) for seconds in (rules.reset_seconds, hold_seconds)]
        counts = [rules.failures, *spans, max(KEPT_MS, *spans)]
        arguments: Sequence[str | float] = [ticket.id, ticket.model, verdict, *counts]
        became = redis_client.attempted(lambda redis: _LEAVE(redis, keys=self._keys, arguments=arguments))
        if became:
            logger.warning("a model endpoint's circuit changed", endpoint=self.name, state=became.decode())

    @property
    def state(self) -> State:
        """`half-open`: the next call probes. `unknown` without Redis."""
        return self._seen()[0]

    @property
    def in_flight(self) -> int:
        """How many calls are under way, in all processes."""
        return self._seen()[1]

    def _seen(self) -> tuple[State, int]:
        told: Any = redis_client.attempted(lambda redis: _STATE(redis, keys=self._keys, arguments=[]))
        return (told[0].decode(), told[1]) if told else ("unknown", 0)

    @property
    def _keys(self) -> list[str]:
        return [f"circuit:{self.key}", f"places:{self.key}"]

    def forget(self) -> None:
        """As if nothing had ever failed."""
        self._alone = Alone(self.rules)
        redis_client.attempted(lambda redis: redis.delete(*self._keys))


@dataclass(frozen=True, slots=True)
class Passage:
    """A call that was let in; whoever holds it says how it ended."""

    circuit: Circuit
    ticket: Ticket
    shared: bool
    probing: bool

    def leave(self, verdict: Verdict, *, hold_seconds: float = 0.0) -> None:
        """`hold_seconds`: the endpoint asked that its model be left alone for so long."""

        def tell() -> None:
            self.circuit.leave(self.ticket, verdict, hold_seconds=hold_seconds, shared=self.shared)

        if verdict == "well" and self.shared and not self.probing and not hold_seconds:
            _leaving.get("").submit(tell)  # nobody waits for this news
        else:
            tell()


_leaving: PerProcess[str, ThreadPoolExecutor] = PerProcess(
    lambda _: ThreadPoolExecutor(1, thread_name_prefix="leaving-circuits")
)
_circuits: PerProcess[tuple[str, str, Rules], Circuit] = PerProcess(lambda identity: Circuit(*identity))
