"""Vectors from an endpoint and from the local model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragsite.lib.errors import AppError, ModelFailed, ModelTimeout, Unavailable
from ragsite.lib.inference import embedding_endpoint, embeddings
from ragsite.lib.inference.embeddings import EmbeddingModel
from tests.model_answers import vector_of
from tests.model_server import Behaviour, ModelServer


def make_model(model_server: ModelServer, **changes: Any) -> EmbeddingModel:
    wishes = {"provider": "openai", "model": "embedding-1", "precision": "fp32", "dimensions": 64}
    return EmbeddingModel(**{**wishes, "base_url": model_server.url, "api_key": "sk-never-shown", **changes})


def test_vectors_are_unit_length_float32_in_the_texts_order(model_server: ModelServer) -> None:
    vectors = embeddings.embed(make_model(model_server), ["a cat", "a dog"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, np.stack([vector_of("a cat", 64), vector_of("a dog", 64)]), atol=1e-6)


def test_no_text_is_no_request(model_server: ModelServer) -> None:
    assert embeddings.embed(make_model(model_server), []).shape == (0, 64)
    assert model_server.calls == 0


def test_texts_go_out_in_batches(model_server: ModelServer) -> None:
    vectors = embeddings.embed(make_model(model_server), [f"text {number}" for number in range(2_050)])
    assert vectors.shape == (2_050, 64)
    assert [len(request.body["input"]) for request in model_server.requests] == [2_048, 2]


def test_batches_are_bounded_in_bytes_and_split_no_text() -> None:
    texts = ["é" * 200_000, "b" * 100_000, "c" * 250_000, "d" * 900_000, "e"]
    assert [[text[0] for text in batch] for batch in embedding_endpoint.batches(texts)] == [
        ["é", "b"],
        ["c"],
        ["d"],
        ["e"],
    ]


def test_models_that_refuse_to_be_told_their_size_are_asked_without(model_server: ModelServer) -> None:
    model_server.script(Behaviour(status=400))
    assert embeddings.embed(make_model(model_server, dimensions=1536), ["a cat"]).shape == (1, 1536)
    assert "dimensions" not in model_server.requests[1].body


def test_another_number_of_dimensions_is_a_clear_error(model_server: ModelServer) -> None:
    model_server.script(Behaviour(status=400))
    with pytest.raises(ModelFailed, match="1536 dimensions, not the 64 configured"):
        embeddings.embed(make_model(model_server), ["a cat"])


def test_floats_are_read_where_base64_was_asked_for() -> None:
    body = b'{"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]}'
    vectors = embedding_endpoint.read_vectors(body, count=2, dimensions=2)
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0.0, 1.0]])


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"data": [7]}',
        b'{"data": []}',
        b'{"data": [{"index": 0, "embedding": "AAA"}]}',
        b'{"data": [{"index": 0, "embedding": [[1, 0]]}]}',
        b'{"data": [{"index": 0, "embedding": [0, 0]}]}',
        b'{"data": [{"index": 0, "embedding": [NaN, 1]}]}',
        b'{"data": [{"index": 0, "embedding": [1, null]}]}',
    ],
)
def test_what_is_no_list_of_vectors_is_refused(body: bytes) -> None:
    with pytest.raises(ModelFailed):
        embedding_endpoint.read_vectors(body, count=1, dimensions=2)


@pytest.mark.parametrize(
    ("behaviour", "error", "calls"),
    [
        pytest.param(Behaviour(status=500), ModelFailed, 3, id="server error"),
        pytest.param(Behaviour(status=429), Unavailable, 3, id="limited"),
        pytest.param(Behaviour(fault="invalid_json"), ModelFailed, 1, id="invalid JSON"),
        pytest.param(Behaviour(fault="not_a_completion"), ModelFailed, 1, id="other JSON"),
        pytest.param(Behaviour(drip=0.05), ModelTimeout, 1, id="drip"),
    ],
)
def test_faults_have_the_same_outcomes_as_chat(
    model_server: ModelServer, behaviour: Behaviour, error: type[AppError], calls: int
) -> None:
    model_server.reset(behaviour)
    with pytest.raises(error):
        embeddings.embed(make_model(model_server, timeout_seconds=0.5), ["a cat"])
    assert model_server.calls == calls


def test_the_key_is_not_in_the_repr(model_server: ModelServer) -> None:
    assert "sk-never-shown" not in repr(make_model(model_server))


def test_the_local_model_needs_no_endpoint(tmp_path: Path) -> None:
    model = EmbeddingModel(
        provider="local", model="all-MiniLM-L6-v2", precision="int8", dimensions=384, directory=tmp_path
    )
    embeddings.warm(model)
    cat, kitten, tax = embeddings.embed(model, ["a cat", "a kitten", "the tax return of 2019"])
    assert cat @ kitten > cat @ tax


def test_a_local_model_of_another_size_is_a_clear_error(tmp_path: Path) -> None:
    model = EmbeddingModel(provider="local", model="m", precision="int8", dimensions=512, directory=tmp_path)
    with pytest.raises(ModelFailed, match="384 dimensions, not the 512 configured"):
        embeddings.embed(model, ["a cat"])
