"""The memory of vectors in Redis, and what happens without it."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from pgvector import HalfVector
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ragsite.lib import redis_client
from ragsite.lib.inference import embedding_cache
from ragsite.lib.inference.embedding_cache import embed_cached, key_of
from ragsite.lib.inference.embeddings import EmbeddingModel
from tests.model_server import ModelServer

DIMENSIONS = 16


@pytest.fixture
def redis() -> Redis:
    return redis_client.client()


def make_model(model_server: ModelServer) -> EmbeddingModel:
    return EmbeddingModel(
        provider="openai",
        model="embedding-1",
        precision="fp32",
        dimensions=DIMENSIONS,
        base_url=model_server.url,
    )


@pytest.fixture
def dead_redis() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_client, "client", lambda: Redis(port=1, retry=Retry(NoBackoff(), 0)))
        yield


def test_a_known_text_is_not_embedded_again(model_server: ModelServer, redis: Redis) -> None:
    embedded = partial(embed_cached, make_model(model_server), space="test-1", owner="ours")
    first, second = embedded(["a", "b"]), embedded(["b", "c", "a"])
    assert [request.body["input"] for request in model_server.requests] == [["a", "b"], ["c"]]
    np.testing.assert_allclose(second[[2, 0]], first, atol=1e-3)
    assert 86_000 < redis.ttl(key_of("a", space="test-1", owner="ours")) <= 86_400


def test_values_are_raw_halves_which_the_database_stores_as_it_stores_fresh_ones(
    model_server: ModelServer, redis: Redis
) -> None:
    texts = [f"text {number} of some words" for number in range(50)]
    fresh, cached = (
        embed_cached(make_model(model_server), texts, space="test-2", owner="ours") for _ in range(2)
    )
    assert redis.get(key_of(texts[0], space="test-2", owner="ours")) == fresh[0].astype("<f2").tobytes()
    assert model_server.calls == 1
    rows = [[HalfVector(vector).to_binary() for vector in vectors] for vectors in (fresh, cached)]
    assert rows[0] == rows[1]


def test_many_vectors_go_a_few_at_a_time(
    model_server: ModelServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_cache, "_BYTES_A_TRIP", 3 * 2 * DIMENSIONS)
    texts = [f"text {number}" for number in range(10)]
    first, second = (
        embed_cached(make_model(model_server), texts, space="test-9", owner="ours") for _ in range(2)
    )
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert model_server.calls == 1


def test_spaces_do_not_share_vectors(model_server: ModelServer, redis: Redis) -> None:
    for space in ("test-3", "test-4"):
        embed_cached(make_model(model_server), ["a"], space=space, owner="ours")
    assert model_server.calls == 2


def test_nobody_is_told_by_the_time_it_takes_what_another_has(
    model_server: ModelServer, redis: Redis
) -> None:
    for owner in ("ours", "theirs"):
        embed_cached(make_model(model_server), ["The salary is 93,000."], space="test-10", owner=owner)
    assert model_server.calls == 2


def test_a_repeated_text_is_embedded_once(model_server: ModelServer, redis: Redis) -> None:
    vectors = embed_cached(make_model(model_server), ["a", "b", "a"], space="test-5", owner="ours")
    assert model_server.requests[0].body["input"] == ["a", "b"]
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_a_value_of_the_wrong_length_is_a_miss_and_replaced(model_server: ModelServer, redis: Redis) -> None:
    redis.set(key_of("a", space="test-6", owner="ours"), b"\0" * 7)
    embed_cached(make_model(model_server), ["a"], space="test-6", owner="ours")
    assert redis.strlen(key_of("a", space="test-6", owner="ours")) == 2 * DIMENSIONS


@pytest.mark.usefixtures("dead_redis")
def test_without_redis_vectors_are_just_made(model_server: ModelServer) -> None:
    assert embed_cached(make_model(model_server), ["a"], space="test-7", owner="ours").shape == (
        1,
        DIMENSIONS,
    )


@pytest.mark.usefixtures("dead_redis")
def test_no_text_asks_nobody(model_server: ModelServer) -> None:
    assert embed_cached(make_model(model_server), [], space="test-8", owner="ours").shape == (0, DIMENSIONS)
    assert model_server.calls == 0


@pytest.mark.parametrize("poison", [np.nan, np.inf, 0.0, 6e4])
def test_what_is_no_unit_vector_reads_as_a_miss(
    model_server: ModelServer, redis: Redis, poison: float
) -> None:
    redis.set(key_of("a", space="test-1", owner="ours"), np.full(DIMENSIONS, poison).astype("<f2").tobytes())
    vector = embed_cached(make_model(model_server), ["a"], space="test-1", owner="ours")[0]
    assert abs(float(vector @ vector) - 1) < 0.01
