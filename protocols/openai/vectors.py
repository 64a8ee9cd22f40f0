"""Vectors of a client's own texts, by the model that the tenant's documents are embedded with."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from apikeys import prices
from apikeys.prices import Amount
from apikeys.purses import Purse
from apikeys.spending import Spent
from documents.embedding import spaces
from documents.embedding_space import EmbeddingSpace
from ragsite.lib.errors import ClientLeft, ModelTimeout
from ragsite.lib.inference import embeddings
from ragsite.lib.inference.embedding_cache import embed_cached
from ragsite.lib.inference.embeddings import Vectors


def embed(
    space: EmbeddingSpace, texts: Sequence[str], *, owner: object, purse: Purse
) -> tuple[Vectors, Spent]:
    """The texts' vectors in a space, and what they took. Raises what `embeddings.embed` raises, and BudgetSpent.

    `owner`: the tenant, whose cache of vectors it is. A text that was in it counts all the same: which ones were is
    nobody's to know.
    """
    model = spaces.model(space)
    tokens = embeddings.count_tokens(model, texts)
    spent = Spent(prompt_tokens=tokens, cost_usd=prices.cost(space.model, Amount(tokens)))
    purse.reserve(spent.cost_usd)
    try:
        found = embed_cached(model, texts, space=space.pk, owner=owner)
    except (ClientLeft, ModelTimeout):
        purse.take(spent)  # the endpoint was asked all the same
        raise
    purse.take(spent)
    # As the cache and the database keep them: a text's vector is the same, whether it was fresh or not.
    return found.astype("<f2").astype("<f4"), spent


def shown(vectors: Vectors, *, encoding: str) -> list[dict[str, Any]]:
    return [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, encoding)}
        for index, vector in enumerate(vectors)
    ]


def _encoded(vector: Vectors, encoding: str) -> str | list[float]:
    if encoding == "base64":
        return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
    numbers: list[float] = vector.tolist()
    return numbers
