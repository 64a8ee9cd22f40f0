"""Answers kept in Redis: by tenant, by what the caller may read, by corpus version, by question and parameters.

A stored value is a seal, the id of the query that it answered, and the answer's JSON. The seal is a keyed hash over
the value's own name and content: what somebody else wrote, or what was written for another name, reads as a miss.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from redis import Redis

from accounts import corpus
from apikeys.callers import Caller
from queries import generation, prompts
from queries.answers import Ask
from ragsite.lib import redis_client

SEAL_BYTES = 16
ID_CHARACTERS = 36


@dataclass(frozen=True, slots=True)
class Kept:
    """A cached answer: which query's it is, and the JSON object of what all its askers share."""

    query_id: UUID
    body: bytes


def digest(ask: Ask) -> str:
    """Names an answer by all that decides it, besides tenant, rights and corpus version."""
    # Neither NFKC nor casefold: 10² is not 102, and a Maße no Masse.
    plain = " ".join(unicodedata.normalize("NFC", ask.question).lower().split())
    decided_by = _ENCODER.encode([plain, ask.parameters(), _makers()])
    return sha256(decided_by.encode()).hexdigest()


_ENCODER = json.JSONEncoder(sort_keys=True, default=str)


def _makers() -> list[Any]:
    """What finds and writes answers. A change of the embedding space that serves raises the corpus version."""
    settled = (
        "ANSWER_PROVIDER",
        "ANSWER_BASE_URL",
        "ANSWER_MODEL",
        "ANSWER_FALLBACK_MODELS",
        "ANSWER_MAX_TOKENS",
        "ANSWER_WINDOW_TOKENS",
        "RERANK_PROVIDER",
        "RERANK_URL",
        "RERANK_MODEL",
        "RERANK_CANDIDATES",
    )
    return [*(getattr(settings, name) for name in settled), prompts.VERSION, generation.EXTRACTIVE_MODEL]


def name(caller: Caller, version: int, digest: str) -> str:
    """The key in Redis; `admit.lua` makes the same."""
    return f"answer:{caller.tenant_id}:{caller.rights}:{version}:{digest}"


def seal(name: str, query_id: UUID, body: bytes) -> bytes:
    content = str(query_id).encode() + body
    return _seal(name, content) + content


def unseal(name: str, stored: bytes | None) -> Kept | None:
    """What was stored under this name; None for anything else."""
    if stored is None or len(stored) <= SEAL_BYTES + ID_CHARACTERS:
        return None
    content = stored[SEAL_BYTES:]
    # Not in constant time: whoever can write to Redis to try seals can read the true ones there.
    if stored[:SEAL_BYTES] != _seal(name, content):
        return None
    return Kept(UUID(content[:ID_CHARACTERS].decode()), content[ID_CHARACTERS:])


def find(tenant_id: UUID, name: str) -> Kept | None:
    """For callers without a key, whose admission has not looked already."""
    try:
        stored: Any = redis_client.guarded(lambda client: client.get(name))
        kept = unseal(name, stored)
        _count(tenant_id, hits=kept is not None, misses=kept is None)
    except redis_client.DOWN:
        return None
    return kept


def count_miss_instead(tenant_id: UUID) -> None:
    """What admission counted as a hit was no answer."""
    with suppress(*redis_client.DOWN):
        _count(tenant_id, hits=-1, misses=1)


def keep(name: str, *, query_id: UUID, shared: Mapping[str, Any]) -> None:
    """An answer that cannot be kept, because Redis is down or full, is made again next time."""
    value = seal(name, query_id, json.dumps(shared, ensure_ascii=False, separators=(",", ":")).encode())
    redis_client.attempted(lambda client: client.set(name, value, ex=settings.ANSWER_CACHE_SECONDS))


def statistics(tenant_id: UUID) -> dict[str, Any]:
    """Hits, misses and size of a tenant's cache; raises one of `redis_client.DOWN`."""

    def read(client: Redis) -> dict[str, Any]:
        counted: Any = client.hmget(_counters(tenant_id), "hits", "misses")
        hits, misses = (int(number or 0) for number in counted)
        entries, size = 0, 0
        for key in _kept_names(client, tenant_id):
            entries += 1
            size += int(client.strlen(key))
        rate = round(hits / (hits + misses), 4) if hits + misses else 0.0
        return {"hits": hits, "misses": misses, "hit_rate": rate, "entries": entries, "bytes": size}

    return redis_client.guarded(read)


def forget(tenant_id: UUID) -> None:
    """Ends every cached answer of a tenant: they are of a version that is no more. What can be reached is deleted too."""
    corpus.bump(tenant_id)
    redis_client.attempted(lambda client: _delete(client, tenant_id))


def _delete(client: Redis, tenant_id: UUID) -> None:
    for key in _kept_names(client, tenant_id):
        client.unlink(key)


def _kept_names(client: Redis, tenant_id: UUID) -> Iterator[bytes]:
    return client.scan_iter(f"answer:{tenant_id}:*", count=1000)


def _count(tenant_id: UUID, *, hits: int, misses: int) -> None:
    def add(client: Redis) -> None:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.hincrby(_counters(tenant_id), "hits", int(hits))
            pipeline.hincrby(_counters(tenant_id), "misses", int(misses))
            pipeline.execute()

    redis_client.guarded(add)


def _counters(tenant_id: UUID) -> str:
    return f"cache:{tenant_id}"


def _seal(name: str, content: bytes) -> bytes:
    signed = blake2b(name.encode() + b"\0", key=_seal_key(settings.SECRET_KEY), digest_size=SEAL_BYTES)
    signed.update(content)
    return signed.digest()


@lru_cache(maxsize=2)
def _seal_key(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
