"""Admits a request that carries a key: who it is, whether it may come now, and what is already known for it.

With Redis this is one round trip (`admit.lua`). Without Redis the key is looked up in Postgres, a bucket in this
process's memory limits it, and nothing comes from the cache: answers keep flowing, and nobody is refused who
would have been let in.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from redis import Redis

from apikeys import budgets, copies, usage
from apikeys.budgets import Account
from apikeys.callers import Caller
from apikeys.models import APIKey
from ragsite.lib import redis_client
from ragsite.lib.addresses import bits
from ragsite.lib.ratelimit import LocalBuckets

_TRIES = 4
_ADMIT = redis_client.Script(
    budgets.MONTH + (Path(__file__).parent / "admit.lua").read_text(encoding="utf-8")
)


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

    `from_here`: whether the key may be used from this address; when not, `admitted` is false as well.
    `corpus_version` None: nothing may be cached. `stored`: the cached answer as it stands in Redis, unchecked.
    `exhausted`: whose budget is spent, "key" or "tenant". Told of admitted requests only; they took their token.
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
    """None for a key that is unknown, revoked, expired, or of an inactive tenant: no stranger can tell them apart."""
    try:
        return redis_client.guarded(lambda client: _with_redis(client, key_hash, lookup))
    except redis_client.DOWN:
        return _without_redis(key_hash, lookup)


def _with_redis(client: Redis, key_hash: str, lookup: Lookup) -> Admission | None:
    names = [copies.name(key_hash), usage.STREAM, copies.mark(key_hash)]
    for _ in range(_TRIES):
        reply: Any = _ADMIT(client, keys=names, arguments=_arguments(lookup))
        if reply[0] == b"uncounted":
            _count(client, *(part.decode() for part in reply[1:]))
            continue
        if reply[0] != b"absent":
            return _read(reply) if reply[0] == b"known" else None
        copies.keep(client, key_hash, mark_seen=reply[1])
    # It is being changed again and again: Postgres knows what it is now.
    return _without_redis(key_hash, lookup)


def _count(client: Redis, month: str, tenant: str, *lines: str) -> None:
    """Makes the counters anew that the script misses; a line "" is the tenant's own."""
    for line in lines:
        budgets.recount(client, Account(UUID(tenant), UUID(line) if line else None), month)


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
    key, caller = copies.known(copy)
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


# Without Redis -----------------------------------------------------------------------------------------------

buckets = LocalBuckets()


def _without_redis(key_hash: str, lookup: Lookup) -> Admission | None:
    key = copies.of(key_hash)
    if key is None:
        return None
    here = bits(lookup.address)
    from_here = not key["networks"] or any(here.startswith(prefix) for prefix in key["networks"])
    per_second, burst = key["rate"] / 60, key["burst"]
    tokens = buckets.take(key["key"], per_second=per_second, burst=burst) if from_here else 0.0
    left = max(0.0, tokens)
    admitted = from_here and tokens >= 0
    return Admission(
        caller=copies.caller(key),
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
    if "tenant_budget" in key and budgets.is_spent(Account(tenant), key["tenant_budget"]):
        return "tenant"
    return ""
