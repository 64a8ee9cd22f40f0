"""Seals on what ragsite stores in Redis: a value that someone else wrote, or that belongs to another name, is ignored.

The seal is a keyed hash of the value's name and content. The content is the id of a query, then JSON.
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
    """An answer made for another request: the id of its query, and what everyone may be given of it, as JSON."""

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
    """What was sealed under this name; None if the seal does not match."""
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
