"""Embeds a client's own texts with the model that the documents are embedded with."""

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
    """The texts' vectors in a space, and what they cost. Raises what `embeddings.embed` raises, and BudgetSpent.

    `owner`: the tenant, whose cached vectors are used. A cached text costs as much as a new one, so that the cost does
    not tell what others have asked.
    """
    model = spaces.model(space)
    tokens = embeddings.count_tokens(model, texts)
    spent = Spent(prompt_tokens=tokens, cost_usd=prices.cost(space.model, Amount(tokens)))
    purse.reserve(spent.cost_usd)
    try:
        found = embed_cached(model, texts, space=space.pk, owner=owner)
    except (ClientLeft, ModelTimeout):
        purse.take(spent)  # the endpoint was asked, and may bill it
        raise
    purse.take(spent)
    # In half precision, as the cache and the database have them: a text's vector is the same, cached or not.
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
