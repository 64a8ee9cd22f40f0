"""Admits a request that carries a key: who it is, whether it may come now, and what is already known for it.

With Redis this is one round trip (`admit.lua`). Without Redis the key is looked up in Postgres, a bucket in this
process's memory limits it, and nothing comes from the cache: answers keep flowing, and nobody is refused who
would have been let in.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from redis import Redis

from apikeys import budgets, usage
from apikeys.budgets import Account
from apikeys.callers import Caller
from apikeys.models import APIKey, KeyCollection
from ragsite.lib import redis_client, row_security
from ragsite.lib.addresses import bits, network_bits
from ragsite.lib.announcements import announce
from ragsite.lib.money import micro
from ragsite.lib.ratelimit import LocalBuckets

STREAM = usage.STREAM
COPY_SECONDS = 60  # a copy of a key in Redis lives this long; a change of the key replaces it at once
CHANGE_SECONDS = 120  # longer than any look-up in Postgres takes
_TRIES = 4
_ADMIT = redis_client.Script(
    budgets.MONTH + (Path(__file__).parent / "admit.lua").read_text(encoding="utf-8")
)

# Keeps what was read of a key, unless the key was changed since it began to be read, or another was quicker.
# KEYS: the key's copy, the mark of its last change. ARGV: the mark as it was, the copy, seconds to live.
_KEEP = redis_client.Script("""
if (redis.call('GET', KEYS[2]) or '') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3], 'NX')
end
""")


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a request asks the cache for, and what its record of use will say if it is found there.

    `address`: where it comes from. `asks`: whether it asks for what may cost money, and is refused once a budget is
    spent.
    """

    address: str
    digest: str = ""
    question: str = ""
    request_id: str = ""
    endpoint: str = ""
    method: str = ""
    milliseconds: float = 0.0
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """What is known of a key's request before any work is done for it; times in seconds.

    `from_here`: whether the key may be used from this address; when not, `admitted` is false as well. `corpus_version` None: nothing may be cached. `stored`: the cached answer as it stands in Redis, unchecked.
    `exhausted`: whose budget is spent, "key" or "tenant"; of an admitted request, which took its token all the same.
    """

    caller: Caller
    from_here: bool
    rate_limit: int
    burst: int
    admitted: bool
    tokens_left: float
    retry_after: float
    full_after: float
    corpus_version: int | None = None
    stored: bytes | None = None
    exhausted: str = ""


def admit(key_hash: str, lookup: Lookup) -> Admission | None:
    """None: no such key, or one that is revoked, expired or of an inactive tenant; all the same to a stranger."""
    try:
        return redis_client.guarded(lambda client: _with_redis(client, key_hash, lookup))
    except redis_client.DOWN:
        return _without_redis(key_hash, lookup)


def forget(key_hash: str) -> None:
    """Lets the next request read the key afresh; to be called after a change was committed.

    The mark tells a request that read the row before the commit, and has not kept it yet, that it is too late.
    """

    def drop(client: Redis) -> None:
        with client.pipeline() as pipeline:
            pipeline.set(_mark(key_hash), secrets.token_hex(8), ex=CHANGE_SECONDS)
            pipeline.delete(_name(key_hash))
            pipeline.execute()

    announce(drop)


def refuse(key_hash: str) -> None:
    """Marks a key as one that does not exist, before and after the commit of its end.

    Before, so that a request that reads the old row now cannot put it back: it only adds what is not there.
    """
    announce(lambda client: client.set(_name(key_hash), "", ex=COPY_SECONDS))


def _name(key_hash: str) -> str:
    return f"key:{key_hash}"


def _mark(key_hash: str) -> str:
    return f"changed:{key_hash}"


def _with_redis(client: Redis, key_hash: str, lookup: Lookup) -> Admission | None:
    names = [_name(key_hash), STREAM, _mark(key_hash)]
    for _ in range(_TRIES):
        reply: Any = _ADMIT(client, keys=names, arguments=_arguments(lookup))
        if reply[0] == b"uncounted":
            _count(client, *(part.decode() for part in reply[1:]))
            continue
        if reply[0] != b"absent":
            return _read(reply) if reply[0] == b"known" else None
        copy = _copy_of(key_hash)
        text = json.dumps(copy) if copy else ""
        kept = [_name(key_hash), _mark(key_hash)]
        _KEEP(client, keys=kept, arguments=[reply[1], text, COPY_SECONDS])
    # It is being changed again and again: Postgres knows what it is now.
    return _without_redis(key_hash, lookup)


def _count(client: Redis, month: str, tenant: str, *lines: str) -> None:
    """Makes the counters anew that the script misses; a line "" is the tenant's own."""
    for line in lines:
        budgets.count(client, Account(UUID(tenant), UUID(line) if line else None), month)


def _arguments(lookup: Lookup) -> list[str | float]:
    return [
        lookup.digest,
        lookup.request_id,
        lookup.endpoint,
        lookup.method,
        lookup.milliseconds,
        lookup.question,
        bits(lookup.address),
        "1" if lookup.asks else "",
    ]


def _read(reply: list[Any]) -> Admission:
    _, copy, admitted, tokens, next_ms, full_ms, version, stored, from_here, exhausted = reply
    key, caller = _known(copy)
    buckets.seen(key["key"], float(tokens))
    return Admission(
        caller=caller,
        from_here=from_here == 1,
        rate_limit=key["rate"],
        burst=key["burst"],
        admitted=admitted == 1,
        tokens_left=float(tokens),
        retry_after=next_ms / 1000,
        full_after=full_ms / 1000,
        corpus_version=int(version) if version else None,
        stored=stored,
        exhausted=exhausted.decode(),
    )


@lru_cache(maxsize=1024)
def _known(copy: bytes) -> tuple[Mapping[str, Any], Caller]:
    """A key's copy, and whom it makes of a request. It was read a moment ago; only its parsing is remembered."""
    key = json.loads(copy)
    return key, _caller(key)


def _caller(key: Mapping[str, Any]) -> Caller:
    collections = key["collections"]
    return Caller(
        tenant_id=UUID(key["tenant"]),
        key_id=UUID(key["key"]),
        user_id=UUID(key["owner"]) if key["owner"] else None,
        scopes=frozenset(key["scopes"]),
        collections=None if collections is None else tuple(UUID(pk) for pk in collections),
        rights=key["rights"],
    )


def _copy_of(key_hash: str) -> dict[str, Any] | None:
    """A key as Redis holds it (no secret in it), or None where there is no usable one.

    A time stands in milliseconds of the Unix epoch, a budget in millionths of a dollar, and either is left out when there
    is none: Lua's JSON reads a null as something true. A network stands as the bits that every address in it begins with.
    """
    with row_security.across():  # whose the key is, is what is asked
        keys = APIKey.objects.across_tenants().filter(revoked_at=None, tenant__active=True)
        key = keys.select_related("tenant").filter(key_hash=key_hash).first()
    if key is None or not key.is_usable:
        return None
    collections = _readable(key) if key.restricted else None
    copy = {
        "key": str(key.pk),
        "tenant": str(key.tenant_id),
        "owner": str(key.owner_id) if key.owner_id else None,
        "scopes": key.scopes,
        "collections": collections,
        "rights": "all" if collections is None else sha256(",".join(collections).encode()).hexdigest(),
        "networks": [network_bits(network) for network in key.networks],
        "rate": key.rate_limit,
        "burst": key.burst,
    }
    if key.expires_at:
        copy["expires"] = int(key.expires_at.timestamp() * 1000)
    if key.monthly_budget_usd is not None:
        copy |= {"budget": micro(key.monthly_budget_usd), "line": str(key.first_of_line)}
    if key.tenant.monthly_budget_usd is not None:
        copy["tenant_budget"] = micro(key.tenant.monthly_budget_usd)
    return copy


def _readable(key: APIKey) -> list[str]:
    with row_security.within(key.tenant_id):
        return sorted(
            str(row.collection_id) for row in KeyCollection.objects.for_tenant(key.tenant_id).filter(key=key)
        )


# Without Redis -----------------------------------------------------------------------------------------------

buckets = LocalBuckets()


def _without_redis(key_hash: str, lookup: Lookup) -> Admission | None:
    key = _copy_of(key_hash)
    if key is None:
        return None
    here = bits(lookup.address)
    from_here = not key["networks"] or any(here.startswith(prefix) for prefix in key["networks"])
    per_second, burst = key["rate"] / 60, key["burst"]
    tokens = buckets.take(key["key"], per_second=per_second, burst=burst) if from_here else 0.0
    left = max(0.0, tokens)
    admitted = from_here and tokens >= 0
    return Admission(
        caller=_caller(key),
        from_here=from_here,
        rate_limit=key["rate"],
        burst=burst,
        admitted=admitted,
        tokens_left=left,
        # How far a refused one is from a whole token: `take` tells it as what was missing.
        retry_after=max(0.0, -tokens if tokens < 0 else 1 - left) / per_second,
        full_after=(burst - left) / per_second,
        exhausted=_exhausted(key) if admitted and lookup.asks and APIKey.Scope.QUERY in key["scopes"] else "",
    )


def _exhausted(key: dict[str, Any]) -> str:
    """Whose budget is spent by the records in Postgres."""
    tenant = UUID(key["tenant"])
    if "budget" in key and budgets.is_spent(Account(tenant, UUID(key["line"])), key["budget"]):
        return "key"
    return (
        "tenant" if "tenant_budget" in key and budgets.is_spent(Account(tenant), key["tenant_budget"]) else ""
    )
