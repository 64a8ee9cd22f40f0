"""The copy of a key that Redis holds, so that admission need not ask Postgres: `key:{digest}`, with no secret in it.

A change of the key drops its copy and leaves a mark, `changed:{digest}`, so that nobody puts back what is older.
"""

import json
import secrets
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID

from redis import Redis

from apikeys.callers import Caller
from apikeys.models import APIKey, KeyCollection
from ragsite.lib import redis_client, row_security
from ragsite.lib.addresses import network_bits
from ragsite.lib.announcements import announce
from ragsite.lib.money import micro

COPY_SECONDS = 60  # a copy of a key in Redis lives this long; a change of the key replaces it at once
CHANGE_SECONDS = 120  # longer than any look-up in Postgres takes

# Keeps what was read of a key, unless the key was changed since it began to be read, or another was quicker.
# KEYS: the key's copy, the mark of its last change. ARGV: the mark as it was, the copy, seconds to live.
_KEEP = redis_client.Script("""
if (redis.call('GET', KEYS[2]) or '') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3], 'NX')
end
""")


def name(key_hash: str) -> str:
    return f"key:{key_hash}"


def mark(key_hash: str) -> str:
    return f"changed:{key_hash}"


def keep(client: Redis, key_hash: str, *, mark_seen: bytes) -> None:
    """Reads a key and keeps its copy, unless it was changed since `mark_seen` was; "" stands for no usable key."""
    copy = of(key_hash)
    text = json.dumps(copy) if copy else ""
    _KEEP(client, keys=[name(key_hash), mark(key_hash)], arguments=[mark_seen, text, COPY_SECONDS])


def forget(key_hash: str) -> None:
    """Lets the next request read the key afresh; to be called after a change was committed.

    The mark tells a request that read the row before the commit, and has not kept it yet, that it is too late.
    """

    def drop(client: Redis) -> None:
        with client.pipeline() as pipeline:
            pipeline.set(mark(key_hash), secrets.token_hex(8), ex=CHANGE_SECONDS)
            pipeline.delete(name(key_hash))
            pipeline.execute()

    announce(drop)


def refuse(key_hash: str) -> None:
    """Marks a key as one that does not exist, before and after the commit of its end.

    Before, so that a request that reads the old row now cannot put it back: it only adds what is not there.
    """
    announce(lambda client: client.set(name(key_hash), "", ex=COPY_SECONDS))


def of(key_hash: str) -> dict[str, Any] | None:
    """A key as Redis holds it (no secret in it), or None where there is no usable one.

    Times are milliseconds of the Unix epoch, and budgets millionths of a dollar. Either is left out when there is none,
    since Lua's JSON reads a null as something true. A network is the bits that every address in it begins with.
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


@lru_cache(maxsize=1024)
def known(copy: bytes) -> tuple[Mapping[str, Any], Caller]:
    """A key's copy, and whom it makes of a request. It was read a moment ago; only its parsing is remembered."""
    key = json.loads(copy)
    return key, caller(key)


def caller(key: Mapping[str, Any]) -> Caller:
    collections = key["collections"]
    return Caller(
        tenant_id=UUID(key["tenant"]),
        key_id=UUID(key["key"]),
        user_id=UUID(key["owner"]) if key["owner"] else None,
        scopes=frozenset(key["scopes"]),
        collections=None if collections is None else tuple(UUID(pk) for pk in collections),
        rights=key["rights"],
    )
