"""Embeddings as OpenAI's own client asks for them."""

import base64
from typing import Any

import numpy as np
import openai
import pytest
from pytest_django.fixtures import Settings

from documents.embedding import spaces
from ragsite.lib import redis_client
from ragsite.lib.inference.embedding_cache import key_of
from ragsite.lib.inference.embeddings import embed
from tests.makers import Party, make_key
from tests.protocols.conftest import client_of
from tests.queries.test_replies import records

pytestmark = pytest.mark.django_db

MODEL = "all-MiniLM-L6-v2"
TEXTS = ["A kettle boils water.", "  Quarks carry colour.\n"]


def test_vectors_are_those_of_the_documents_model(client: openai.OpenAI, ours: Party) -> None:
    made = client.embeddings.create(model=MODEL, input=TEXTS)  # the client asks for base64, and reads it
    assert [item.index for item in made.data] == [0, 1]
    assert made.model == MODEL
    assert made.usage.prompt_tokens == made.usage.total_tokens == 16
    vectors = np.array([item.embedding for item in made.data])
    assert np.allclose(vectors, embed(spaces.model(spaces.active()), TEXTS), atol=1e-3)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    (used,) = records()
    assert (used.endpoint, used.status, used.prompt_tokens) == ("/v1/embeddings", 200, 16)


def test_both_formats_and_a_second_time_are_the_same_numbers(client: openai.OpenAI) -> None:
    first = client.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="float")
    again = client.embeddings.create(model=MODEL, input=[TEXTS[0]], encoding_format="float")
    raw: Any = (
        client.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="base64").data[0].embedding
    )
    assert first.data[0].embedding == again.data[0].embedding
    assert np.frombuffer(base64.b64decode(raw), "<f4").tolist() == first.data[0].embedding


def test_each_tenant_has_a_cache_of_its_own(client: openai.OpenAI, ours: Party, theirs: Party) -> None:
    client.embeddings.create(model=MODEL, input="marmalade")
    space = spaces.active().pk
    redis = redis_client.client()
    assert redis.exists(key_of("marmalade", space=space, owner=ours.tenant.pk))
    assert not redis.exists(key_of("marmalade", space=space, owner=theirs.tenant.pk))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": [1, 2, 3]}, "input"),
    ({"input": [[1, 2], [3]]}, "input"),
    ({"input": ""}, "input.0"),
    ({"input": []}, "input"),
    ({"input": ["x"] * 257}, "input"),
    ({"input": ["x", "y" * 8_001]}, "input.1"),
    ({"input": ["a", 7]}, "input.1"),
    ({"input": "x", "dimensions": 12}, "dimensions"),
    ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
]


def test_what_cannot_be_embedded_is_refused_by_name(client: openai.OpenAI) -> None:
    for body, param in REFUSED:
        with pytest.raises(openai.BadRequestError) as refused:
            client.post("/embeddings", body={"model": MODEL, **body}, cast_to=object)
        assert refused.value.param == param
        assert ("Send the text itself" in refused.value.message) == (
            body["input"] in ([1, 2, 3], [[1, 2], [3]])
        )


@pytest.mark.parametrize("name", ["text-embedding-3-small", "ragsite"])
def test_vectors_of_another_model_are_not_to_be_had(client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.embeddings.create(model=name, input="x")
    assert refused.value.code == "model_not_found"


def test_what_an_operator_prices_is_charged(client: openai.OpenAI, ours: Party, settings: Settings) -> None:
    settings.MODEL_PRICES = {MODEL: (1000.0, 0.0)}
    client.embeddings.create(model=MODEL, input=TEXTS)
    assert float(records()[0].cost_usd) == 0.016
    short = client_of(make_key(ours.tenant, monthly_budget_usd="0.001")[1])
    with pytest.raises(openai.RateLimitError) as refused:
        short.embeddings.create(model=MODEL, input=TEXTS)
    assert refused.value.code == "insufficient_quota"
