"""A day's memory of vectors in Redis, by `emb:{space}:{sha256(text)}`. A dead Redis costs speed, never an answer."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

import numpy as np
import pybreaker
from redis import Redis, RedisError

from ragsite.lib.embeddings import EmbeddingModel, Vectors, embed

SECONDS = 86_400
DOWN = (RedisError, pybreaker.CircuitBreakerError)

Guarded = Callable[[Callable[[Redis], Any]], Any]
"""Runs a use of Redis and returns its result, or raises one of `DOWN`: `redis_client.guarded`."""


def embed_cached(model: EmbeddingModel, texts: Sequence[str], *, space: object, guarded: Guarded) -> Vectors:
    """As `embeddings.embed`, but what `space` (an id: one model at one precision) knows is looked up; each text once."""
    known = _fetched(list(dict.fromkeys(texts)), model.dimensions, space=space, guarded=guarded)
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if missing:
        fresh = dict(zip(missing, embed(model, missing), strict=True))
        _store(fresh, space=space, guarded=guarded)
        known |= fresh
    if not texts:
        return embed(model, [])
    return np.stack([known[text] for text in texts])


def key_of(text: str, *, space: object) -> str:
    """Where a text's vector is kept."""
    return f"emb:{space}:{sha256(text.encode()).hexdigest()}"


def _fetched(texts: Sequence[str], dimensions: int, *, space: object, guarded: Guarded) -> dict[str, Vectors]:
    if not texts:
        return {}
    keys = [key_of(text, space=space) for text in texts]
    try:
        values = cast("list[bytes | None]", guarded(lambda redis: redis.mget(keys)))
    except DOWN:
        return {}
    # A value of another length is no vector of this space: it counts as a miss, and is written over.
    return {
        text: np.frombuffer(value, dtype="<f4")
        for text, value in zip(texts, values, strict=True)
        if value is not None and len(value) == 4 * dimensions
    }


def _store(vectors: Mapping[str, Vectors], *, space: object, guarded: Guarded) -> None:
    def write(redis: Redis) -> None:
        with redis.pipeline(transaction=False) as pipeline:
            for text, vector in vectors.items():
                pipeline.set(key_of(text, space=space), vector.astype("<f4").tobytes(), ex=SECONDS)
            pipeline.execute()

    try:
        guarded(write)
    except DOWN:
        return  # the vectors are at hand all the same
