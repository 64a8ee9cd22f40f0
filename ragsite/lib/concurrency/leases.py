"""Leases in Redis: one holder at a time, in whichever process, for as long as that lives and has not given it back.

A thread of the holder's process extends its leases while their work goes on, so that they can be short: what a killed
process held is free again a few seconds later. The token is the fence. A holder that was stopped for longer than its
lease is no holder any more, and must end nothing of the one after it.
"""

import secrets
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from redis import Redis

from ragsite.lib import redis_client
from ragsite.lib.concurrency.per_process import PerProcess

LEASE_SECONDS = 5.0
BEAT_SECONDS = 1.0  # a few beats may be late or lost on a busy machine

# KEYS: the leases. ARGV: milliseconds to live, then each one's token. Returns 1 for each that still has it, or else 0.
_EXTEND = redis_client.Script("""
local kept = {}
for number, name in ipairs(KEYS) do
  kept[number] = 0
  if redis.call('GET', name) == ARGV[number + 1] then
    kept[number] = redis.call('PEXPIRE', name, ARGV[1])
  end
end
return kept
""")
# KEYS: the lease. ARGV: its token.
_RELEASE = redis_client.Script("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end")


class Lease(NamedTuple):
    name: str
    token: str


def lease(name: str) -> Lease:
    """A lease that nobody holds yet. It is taken by writing its token in Redis under its name, where nothing stands."""
    return Lease(name, secrets.token_hex(16))


def milliseconds() -> int:
    """How long a lease lasts after it was taken or extended."""
    return round(LEASE_SECONDS * 1000)


def hold(lease: Lease, *, seconds: float) -> None:
    """Extends a lease that was just taken until it is dropped, for `seconds` at most: nobody may hold it for ever."""
    _keepers.get("").hold(lease, until=time.monotonic() + seconds)


def drop(lease: Lease) -> None:
    """Stops extending a lease, which then ends by itself."""
    _keepers.get("").drop(lease)


def release(lease: Lease) -> None:
    """Gives a lease back at once, if it is still held."""
    drop(lease)
    redis_client.attempted(lambda client: _RELEASE(client, keys=[lease.name], arguments=[lease.token]))


class _Keeper:
    """Extends this process's leases, in a thread that begins with the first of them and stays."""

    def __init__(self) -> None:
        self._held: dict[Lease, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def hold(self, lease: Lease, *, until: float) -> None:
        with self._changed:
            self._held[lease] = until
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
            self._changed.notify()

    def drop(self, lease: Lease) -> None:
        with self._changed:
            self._held.pop(lease, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held)
            time.sleep(BEAT_SECONDS)
            held = self._still_held()
            # While Redis cannot be had nobody else can take one either.
            kept = redis_client.attempted(partial(_extended, held)) if held else None
            for lease, is_ours in zip(held, kept or [], strict=False):
                if not is_ours:
                    self.drop(lease)

    def _still_held(self) -> list[Lease]:
        now = time.monotonic()
        with self._changed:
            self._held = {lease: until for lease, until in self._held.items() if until > now}
            return list(self._held)


def _extended(held: Sequence[Lease], client: Redis) -> list[int]:
    names, tokens = [lease.name for lease in held], [lease.token for lease in held]
    kept: list[int] = _EXTEND(client, keys=names, arguments=[milliseconds(), *tokens])
    return kept


_keepers = PerProcess[str, _Keeper](lambda _: _Keeper())
