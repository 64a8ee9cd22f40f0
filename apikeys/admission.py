"""Admits a request that carries a key: who it is, whether it may come now, and what is already known for it.

With Redis this is one round trip (`admit.lua`). Without Redis the key is looked up in Postgres, a bucket in this
process's memory limits it, and nothing comes from the cache: answers keep flowing, and nobody is refused who
would have been let in.
"""

import json
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

from redis import Redis

from apikeys.callers import Caller
from apikeys.models import APIKey, KeyCollection
from ragsite.lib import redis_client

STREAM = "records"
RECORD_SECONDS = 60  # a copy of a key in Redis lives this long; a change of the key replaces it at once
_SCRIPT = (Path(__file__).parent / "admit.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a request asks the cache for, and what its record of use will say if it is found there."""

    digest: str = ""
    question: str = ""
    request_id: str = ""
    endpoint: str = ""
    method: str = ""
    milliseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Admission:
    """What is known of a key's request before any work is done for it; times in seconds.

    `corpus_version` None: nothing may be cached. `stored`: the cached answer as it stands in Redis, unchecked.
    """

    caller: Caller
    networks: tuple[str, ...]
    rate_limit: int
    burst: int
    admitted: bool
    tokens_left: float
    retry_after: float
    full_after: float
    corpus_version: int | None = None
    stored: bytes | None = None
    entry: bytes | None = None


def admit(key_hash: str, lookup: Lookup) -> Admission | None:
    """None: no such key, or one that is revoked, expired or of an inactive tenant; all the same to a stranger."""
    try:
        return redis_client.guarded(lambda client: _with_redis(client, key_hash, lookup))
    except redis_client.DOWN:
        return _without_redis(key_hash)


def forget(key_hash: str) -> None:
    """Lets the next request read the key afresh; called after a change was committed."""
    _tell(lambda client: client.delete(_name(key_hash)))


def refuse(key_hash: str) -> None:
    """Marks a key as one that does not exist, before and after the commit of its end.

    Before, so that a request that reads the old row now cannot put it back: it only adds what is not there.
    """
    _tell(lambda client: client.set(_name(key_hash), "", ex=RECORD_SECONDS))


def take_back(admission: Admission) -> None:
    """Removes the record of a hit that was none; the request records itself as the miss that it is."""
    entry = admission.entry
    if entry is not None:
        _tell(lambda client: client.xdel(STREAM, entry))


def _tell(call: Any) -> None:
    """A copy that could not be changed because Redis is down ends with its lifetime."""
    try:
        redis_client.guarded(call)
    except redis_client.DOWN:
        return


def _name(key_hash: str) -> str:
    return f"key:{key_hash}"


def _with_redis(client: Redis, key_hash: str, lookup: Lookup) -> Admission | None:
    script = client.register_script(_SCRIPT)
    arguments: list[str | float] = [
        lookup.digest,
        lookup.request_id,
        lookup.endpoint,
        lookup.method,
        lookup.milliseconds,
        lookup.question,
    ]
    reply: Any = script(keys=[_name(key_hash), STREAM], args=arguments)
    if reply[0] == b"absent":
        record = _record(key_hash)
        client.set(_name(key_hash), json.dumps(record) if record else "", ex=RECORD_SECONDS, nx=True)
        reply = script(keys=[_name(key_hash), STREAM], args=arguments)
    if reply[0] != b"known":
        return None
    return _read(reply)


def _read(reply: list[Any]) -> Admission:
    _, record, admitted, tokens, next_ms, full_ms, version, stored, entry = reply
    key = json.loads(record)
    return Admission(
        caller=_caller(key),
        networks=tuple(key["networks"]),
        rate_limit=key["rate"],
        burst=key["burst"],
        admitted=admitted == 1,
        tokens_left=float(tokens),
        retry_after=next_ms / 1000,
        full_after=full_ms / 1000,
        corpus_version=int(version) if version else None,
        stored=stored,
        entry=entry,
    )


def _caller(key: dict[str, Any]) -> Caller:
    collections = key["collections"]
    return Caller(
        tenant_id=UUID(key["tenant"]),
        key_id=UUID(key["key"]),
        user_id=UUID(key["owner"]) if key["owner"] else None,
        scopes=frozenset(key["scopes"]),
        collections=None if collections is None else tuple(UUID(pk) for pk in collections),
        rights=key["rights"],
    )


def _record(key_hash: str) -> dict[str, Any] | None:
    """A key as Redis holds it (no secret in it), or None where there is no usable one.

    A time stands in milliseconds of the Unix epoch, and is left out when there is none: Lua's JSON reads a null
    as something true.
    """
    keys = APIKey.objects.across_tenants().filter(revoked_at=None, tenant__active=True)
    key = keys.filter(key_hash=key_hash).first()
    if key is None or not key.is_usable:
        return None
    collections = sorted(str(row.collection_id) for row in _readable(key)) if key.restricted else None
    record = {
        "key": str(key.pk),
        "tenant": str(key.tenant_id),
        "owner": str(key.owner_id) if key.owner_id else None,
        "scopes": key.scopes,
        "collections": collections,
        "rights": "all" if collections is None else sha256(",".join(collections).encode()).hexdigest(),
        "networks": key.networks,
        "rate": key.rate_limit,
        "burst": key.burst,
    }
    if key.expires_at:
        record["expires"] = int(key.expires_at.timestamp() * 1000)
    return record


def _readable(key: APIKey) -> Any:
    return KeyCollection.objects.for_tenant(key.tenant_id).filter(key=key)


# Without Redis -----------------------------------------------------------------------------------------------

_buckets: dict[str, tuple[float, float]] = {}
_lock = Lock()
_MAX_BUCKETS = 10_000


def _without_redis(key_hash: str) -> Admission | None:
    key = _record(key_hash)
    if key is None:
        return None
    per_second = key["rate"] / 60
    tokens = _take(key["key"], per_second=per_second, burst=key["burst"])
    left = max(0.0, tokens)
    return Admission(
        caller=_caller(key),
        networks=tuple(key["networks"]),
        rate_limit=key["rate"],
        burst=key["burst"],
        admitted=tokens >= 0,
        tokens_left=left,
        retry_after=max(0.0, (1 - left) / per_second),
        full_after=(key["burst"] - left) / per_second,
    )


def _take(name: str, *, per_second: float, burst: int) -> float:
    """Tokens left after taking one; below zero: there was none, and none was taken."""
    now = time.monotonic()
    with _lock:
        if len(_buckets) > _MAX_BUCKETS:
            _buckets.clear()
        tokens, at = _buckets.get(name, (float(burst), now))
        tokens = min(burst, tokens + (now - at) * per_second)
        taken = tokens - 1
        _buckets[name] = (taken if taken >= 0 else tokens, now)
        return taken
