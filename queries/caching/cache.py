"""The answer cache in Redis. An answer is kept by tenant, by rights, by corpus version, and by question and parameters.

    answer:{tenant}:{rights}:{version}:{digest}   a sealed answer, with a time to live
    cached:{tenant}:used                          when each was last used; the longest unused is evicted first
    cached:{tenant}:ends                          when each expires
    cached:{tenant}:sizes                         how many bytes each has, and their `total`
    cache:{tenant}                                counts of hits, misses and evictions

`shelf.lua` keeps these consistent; `apikeys/admit.lua` finds answers and notes their use. Answers that they lose track
of, because Redis lost data, still expire by their time to live.
"""

import json
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from redis import Redis

from accounts import corpus
from accounts.models import Tenant
from apikeys.callers import Caller
from queries.answers import Ask
from queries.caching.seals import Kept, seal, unseal
from queries.generating import recipe
from ragsite.lib import redis_client
from ragsite.lib.concurrency.leases import Lease

OUTCOME_SECONDS = 10  # those who wait for it look a few times a second
_AT_ONCE = 1_000  # the most entries that one call of the script removes
_EVERY_VERSION = 2**53 - 1
# KEYS: the tenant's counters, when each answer was last used. ARGV: hits, misses, the entry that was used ('' = none).
_COUNT = redis_client.Script("""
redis.replicate_commands()
redis.call('HINCRBY', KEYS[1], 'hits', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'misses', ARGV[2])
if ARGV[3] ~= '' then
  local clock = redis.call('TIME')
  redis.call('ZADD', KEYS[2], 'XX', clock[1] * 1000 + math.floor(clock[2] / 1000), ARGV[3])
end
""")
_SHELF = redis_client.Script((Path(__file__).parent / "shelf.lua").read_text(encoding="utf-8"))


class Limits(NamedTuple):
    """How many seconds a tenant's answers are kept, and how many bytes they may take."""

    seconds: int
    room: int


class Name(NamedTuple):
    """The parts of the key that an answer is kept under."""

    tenant_id: UUID
    rights: str
    version: int
    digest: str

    def __str__(self) -> str:
        """The key in Redis; `admit.lua` builds the same."""
        return f"{_prefix(self.tenant_id)}{self.entry}"

    @property
    def entry(self) -> str:
        return f"{self.rights}:{self.version}:{self.digest}"


def digest(ask: Ask) -> str:
    """A hash of all that decides an answer, besides tenant, rights and corpus version."""
    # Neither NFKC nor casefold, which confuse 10² with 102 and Maße with Masse.
    plain = " ".join(unicodedata.normalize("NFC", ask.question).lower().split())
    decided_by = _ENCODER.encode([plain, ask.parameters(), recipe.current()])
    return sha256(decided_by.encode()).hexdigest()


_ENCODER = json.JSONEncoder(sort_keys=True, default=str)


def name(caller: Caller, version: int, digest: str) -> Name:
    return Name(caller.tenant_id, caller.rights, version, digest)


def outcome(name: Name, token: str) -> str:
    """The key under which a leader leaves its error, or an answer that the cache has no room for."""
    return f"outcome:{name}:{token}"


# Finding ------------------------------------------------------------------------------------------------------


def find(name: Name) -> Kept | None:
    """The cached answer, for callers whose admission has not looked for it."""
    try:
        stored: Any = redis_client.guarded(lambda client: client.get(str(name)))
        kept = unseal(str(name), stored)
        _count(
            name.tenant_id,
            hits=int(kept is not None),
            misses=int(kept is None),
            used=name.entry if kept else "",
        )
    except redis_client.DOWN:
        return None
    return kept


def count_miss_instead(tenant_id: UUID) -> None:
    """Corrects a hit that admission counted: what it found was not a valid answer."""
    with suppress(*redis_client.DOWN):
        _count(tenant_id, hits=-1, misses=1)


def count_hit_instead(tenant_id: UUID) -> None:
    """Corrects a miss: the request got the answer that was being made for another."""
    with suppress(*redis_client.DOWN):
        _count(tenant_id, hits=1, misses=-1)


def _count(tenant_id: UUID, *, hits: int, misses: int, used: str = "") -> None:
    names = [_counters(tenant_id), _shelf(tenant_id)[0]]
    redis_client.guarded(lambda client: _COUNT(client, keys=names, arguments=[hits, misses, used]))


# Keeping ------------------------------------------------------------------------------------------------------


def limits(tenant: Tenant) -> Limits:
    """The tenant's limits, within those of the site."""
    seconds = settings.ANSWER_CACHE_SECONDS if tenant.cache_seconds is None else tenant.cache_seconds
    room = settings.ANSWER_CACHE_BYTES if tenant.cache_bytes is None else tenant.cache_bytes
    seconds = min(seconds, settings.ANSWER_CACHE_MAX_SECONDS)
    return Limits(seconds, min(room, settings.ANSWER_CACHE_MAX_BYTES) if seconds else 0)


def keep(
    name: Name,
    within: Limits,
    *,
    query_id: UUID,
    body: bytes,
    lease: Lease | None = None,
    seconds: int | None = None,
) -> None:
    """Keeps an answer. Without Redis, or without room for it, nothing is kept, and the answer is made again next time.

    `within`: the tenant's limits. `body`: `Answer.body`. `seconds`: a shorter time to live than the tenant's. `lease`:
    that of the flight that made the answer. It is released in the same step, and those who wait find the answer.
    """
    value = seal(str(name), query_id, body)
    token, flight = (lease.token, lease.name) if lease else ("", "")
    milliseconds = min(within.seconds, within.seconds if seconds is None else seconds) * 1000

    def put(client: Redis) -> None:
        _tidy(
            client,
            name.tenant_id,
            version=name.version,
            room=within.room,
            flight=[flight, outcome(name, token)],
            put=[name.entry, value, milliseconds, token, OUTCOME_SECONDS * 1000],
        )

    redis_client.attempted(put)


def statistics(tenant: Tenant) -> dict[str, Any]:
    """The numbers of a tenant's cache, after removing what has expired; raises one of `redis_client.DOWN`."""
    tenant_id, within, version = tenant.pk, limits(tenant), corpus.version(tenant.pk) or 0

    def read(client: Redis) -> list[Any]:
        _tidy_all(client, tenant_id, version=version, room=within.room)
        used, _, sizes = _shelf(tenant_id)
        with client.pipeline(transaction=True) as pipeline:
            pipeline.hmget(_counters(tenant_id), "hits", "misses", "evictions")
            pipeline.zcard(used)
            pipeline.hget(sizes, "total")
            counted, entries, size = pipeline.execute()
        return [*counted, entries, size]

    hits, misses, evictions, entries, size = (int(number or 0) for number in redis_client.guarded(read))
    return {
        "hits": hits,
        "misses": misses,
        "hit_rate": round(hits / (hits + misses), 4) if hits + misses else 0.0,
        "entries": entries,
        "bytes": size,
        "limit_bytes": within.room,
        "ttl_seconds": within.seconds,
        "evictions": evictions,
    }


def forget(tenant_id: UUID) -> None:
    """Invalidates all cached answers of a tenant by raising its corpus version, then deletes them."""
    corpus.bump(tenant_id)
    redis_client.attempted(lambda client: _tidy_all(client, tenant_id, version=_EVERY_VERSION, room=0))


def _tidy_all(client: Redis, tenant_id: UUID, *, version: int, room: int) -> None:
    while _tidy(client, tenant_id, version=version, room=room) >= _AT_ONCE:
        pass


def _tidy(
    client: Redis,
    tenant_id: UUID,
    *,
    version: int,
    room: int,
    flight: Sequence[str] = (),
    put: Sequence[str | bytes | int] = (),
) -> int:
    """Runs `shelf.lua`; returns how many entries it removed."""
    names = [*_shelf(tenant_id), _counters(tenant_id), corpus.copy(tenant_id), *flight]
    taken_out: int = _SHELF(client, keys=names, arguments=[_prefix(tenant_id), version, room, *put])
    return taken_out


def _prefix(tenant_id: UUID) -> str:
    return f"answer:{tenant_id}:"


def _shelf(tenant_id: UUID) -> list[str]:
    return [f"cached:{tenant_id}:{what}" for what in ("used", "ends", "sizes")]


def _counters(tenant_id: UUID) -> str:
    return f"cache:{tenant_id}"
