"""The memory of vectors in Redis, and what happens without it."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ragsite.lib.embedding_cache import Guarded, embed_cached, key_of
from ragsite.lib.embeddings import EmbeddingModel
from tests.model_server import ModelServer

DIMENSIONS = 16


@pytest.fixture
def redis() -> Iterator[Redis]:
    client = Redis.from_url(os.environ["REDIS_URL"])
    yield client
    for key in client.scan_iter("emb:test-*"):
        client.delete(key)
    client.close()


def make_model(model_server: ModelServer) -> EmbeddingModel:
    return EmbeddingModel(
        provider="openai",
        model="embedding-1",
        precision="fp32",
        dimensions=DIMENSIONS,
        base_url=model_server.url,
    )


def using(client: Redis) -> Guarded:
    def guarded(call: Callable[[Redis], Any]) -> Any:
        return call(client)

    return guarded


def test_a_known_text_is_not_embedded_again(model_server: ModelServer, redis: Redis) -> None:
    embedded = partial(embed_cached, make_model(model_server), space="test-1", guarded=using(redis))
    first, second = embedded(["a", "b"]), embedded(["b", "c", "a"])
    assert [request.body["input"] for request in model_server.requests] == [["a", "b"], ["c"]]
    np.testing.assert_array_equal(second[[2, 0]], first)
    assert 86_000 < redis.ttl(key_of("a", space="test-1")) <= 86_400


def test_values_are_raw_float32(model_server: ModelServer, redis: Redis) -> None:
    vectors = embed_cached(make_model(model_server), ["a"], space="test-2", guarded=using(redis))
    assert redis.get(key_of("a", space="test-2")) == vectors.astype("<f4").tobytes()


def test_spaces_do_not_share_vectors(model_server: ModelServer, redis: Redis) -> None:
    for space in ("test-3", "test-4"):
        embed_cached(make_model(model_server), ["a"], space=space, guarded=using(redis))
    assert model_server.calls == 2


def test_a_repeated_text_is_embedded_once(model_server: ModelServer, redis: Redis) -> None:
    vectors = embed_cached(make_model(model_server), ["a", "b", "a"], space="test-5", guarded=using(redis))
    assert model_server.requests[0].body["input"] == ["a", "b"]
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_a_value_of_the_wrong_length_is_a_miss_and_replaced(model_server: ModelServer, redis: Redis) -> None:
    redis.set(key_of("a", space="test-6"), b"\0" * 7)
    embed_cached(make_model(model_server), ["a"], space="test-6", guarded=using(redis))
    assert redis.strlen(key_of("a", space="test-6")) == 4 * DIMENSIONS


def test_without_redis_vectors_are_just_made(model_server: ModelServer) -> None:
    assert embed_cached(
        make_model(model_server),
        ["a"],
        space="test-7",
        guarded=using(Redis(port=1, retry=Retry(NoBackoff(), 0))),
    ).shape == (
        1,
        DIMENSIONS,
    )


def test_no_text_asks_nobody(model_server: ModelServer) -> None:
    assert embed_cached(
        make_model(model_server),
        [],
        space="test-8",
        guarded=using(Redis(port=1, retry=Retry(NoBackoff(), 0))),
    ).shape == (
        0,
        DIMENSIONS,
    )
    assert model_server.calls == 0
