"""Vectors, kept in Redis for a day as `emb:{space}:{owner}:{sha256(text)}`. Without Redis they are made anew.

Each owner has entries of its own. From shared ones others could tell, by the time it takes, that somebody has a text
or has asked it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
from redis import Redis

from ragsite.lib import redis_client
from ragsite.lib.inference.embeddings import EmbeddingModel, Vectors, embed

SECONDS = 86_400
_UNIT_TOLERANCE = 0.01
_BYTES_A_TRIP = 1 << 20
# Half precision, which is how the database keeps them: a row made of a vector from here is the row made of a fresh one.
_NUMBER_BYTES = 2

Item = TypeVar("Item")


def embed_cached(
    model: EmbeddingModel,
    texts: Sequence[str],
    *,
    space: object,
    owner: object,
    patience_seconds: float = 0.0,
) -> Vectors:
    """As `embeddings.embed`, but embeds only what `owner` has no vector of in `space` yet, and each text once.

    `space` is the id of one model at one precision. To be given all the texts of a batch, whichever documents they are
    from: the fewer calls, the fewer requests.
    """
    if not texts:
        return embed(model, [])
    known = _fetched(list(dict.fromkeys(texts)), model.dimensions, space=space, owner=owner)
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if missing:
        fresh = dict(zip(missing, embed(model, missing, patience_seconds=patience_seconds), strict=True))
        _store(fresh, space=space, owner=owner)
        known |= fresh
    return np.stack([known[text] for text in texts])


def key_of(text: str, *, space: object, owner: object) -> str:
    """Where a text's vector is kept."""
    return f"emb:{space}:{owner}:{sha256(text.encode()).hexdigest()}"


def _fetched(texts: Sequence[str], dimensions: int, *, space: object, owner: object) -> dict[str, Vectors]:
    keys = [key_of(text, space=space, owner=owner) for text in texts]
    values: list[Any] = []
    for part in _parts(keys, dimensions):
        found = redis_client.attempted(partial(_get, keys=part))
        values += found or [None] * len(part)
    read = {text: _read(value, dimensions) for text, value in zip(texts, values, strict=True)}
    return {text: vector for text, vector in read.items() if vector is not None}


def _get(redis: Redis, *, keys: Sequence[str]) -> Any:
    return redis.mget(keys)


def _parts(items: Sequence[Item], dimensions: int) -> Iterator[Sequence[Item]]:
    """Runs of items whose vectors make one round trip: those of 2,048 texts may be 12 MB, which outlast its timeout."""
    size = max(1, _BYTES_A_TRIP // (_NUMBER_BYTES * dimensions))
    return (items[start : start + size] for start in range(0, len(items), size))


def _read(value: bytes | None, dimensions: int) -> Vectors | None:
    """What is no vector of this space counts as a miss, and is written over."""
    if value is None or len(value) != _NUMBER_BYTES * dimensions:
        return None
    vector = np.frombuffer(value, dtype="<f2").astype(np.float32)
    with np.errstate(all="ignore"):  # numbers that overflow are what is looked for
        length = float(vector @ vector)
    return vector if abs(length - 1) < _UNIT_TOLERANCE else None  # which also refuses nan


def _store(vectors: Mapping[str, Vectors], *, space: object, owner: object) -> None:
    dimensions = len(next(iter(vectors.values())))
    for part in _parts(list(vectors.items()), dimensions):
        values = {
            key_of(text, space=space, owner=owner): vector.astype("<f2").tobytes() for text, vector in part
        }
        redis_client.attempted(partial(_set, values=values))  # the vectors are at hand all the same


def _set(redis: Redis, *, values: Mapping[str, bytes]) -> None:
    with redis.pipeline(transaction=False) as pipeline:
        for key, value in values.items():
            pipeline.set(key, value, ex=SECONDS)
        pipeline.execute()
