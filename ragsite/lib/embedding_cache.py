"""A day's memory of vectors in Redis, by `emb:{space}:{sha256(text)}`. A dead Redis costs speed, never an answer."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from redis import Redis

from ragsite.lib import redis_client
from ragsite.lib.embeddings import EmbeddingModel, Vectors, embed

SECONDS = 86_400
_UNIT_TOLERANCE = 0.01


def embed_cached(model: EmbeddingModel, texts: Sequence[str], *, space: object) -> Vectors:
    """As `embeddings.embed`, but what `space` (an id: one model at one precision) knows is looked up; each text once."""
    known = _fetched(list(dict.fromkeys(texts)), model.dimensions, space=space)
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if missing:
        fresh = dict(zip(missing, embed(model, missing), strict=True))
        _store(fresh, space=space)
        known |= fresh
    if not texts:
        return embed(model, [])
    return np.stack([known[text] for text in texts])


def key_of(text: str, *, space: object) -> str:
    """Where a text's vector is kept."""
    return f"emb:{space}:{sha256(text.encode()).hexdigest()}"


def _fetched(texts: Sequence[str], dimensions: int, *, space: object) -> dict[str, Vectors]:
    if not texts:
        return {}
    keys = [key_of(text, space=space) for text in texts]
    values: Any = redis_client.attempted(lambda redis: redis.mget(keys)) or [None] * len(keys)
    read = {text: _read(value, dimensions) for text, value in zip(texts, values, strict=True)}
    return {text: vector for text, vector in read.items() if vector is not None}


def _read(value: bytes | None, dimensions: int) -> Vectors | None:
    """What is no vector of this space counts as a miss, and is written over."""
    if value is None or len(value) != 4 * dimensions:
        return None
    vector = np.frombuffer(value, dtype="<f4")
    with np.errstate(all="ignore"):  # numbers that overflow are what is looked for
        length = float(vector @ vector)
    return vector if abs(length - 1) < _UNIT_TOLERANCE else None  # which also refuses nan


def _store(vectors: Mapping[str, Vectors], *, space: object) -> None:
    def write(redis: Redis) -> None:
        with redis.pipeline(transaction=False) as pipeline:
            for text, vector in vectors.items():
                pipeline.set(key_of(text, space=space), vector.astype("<f4").tobytes(), ex=SECONDS)
            pipeline.execute()

    redis_client.attempted(write)  # the vectors are at hand all the same
