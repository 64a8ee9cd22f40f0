"""Seals over what stands in Redis: what somebody else wrote there, or what was written for another name, is nothing.

A seal is a keyed hash over the value's own name and content. Under it stand the id of the query that was answered,
and JSON.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any
from uuid import UUID

from django.conf import settings

SEAL_BYTES = 16
ID_CHARACTERS = 36


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was made before, or for somebody else: which query's it is, and the JSON object of what all its
    askers share."""

    query_id: UUID
    body: bytes

    def shared(self) -> dict[str, Any]:
        """As `Answer.shared`."""
        shared: dict[str, Any] = json.loads(self.body)
        return shared


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


def _seal(name: str, content: bytes) -> bytes:
    signed = blake2b(name.encode() + b"\0", key=_seal_key(settings.SECRET_KEY), digest_size=SEAL_BYTES)
    signed.update(content)
    return signed.digest()


@lru_cache(maxsize=2)
def _seal_key(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
