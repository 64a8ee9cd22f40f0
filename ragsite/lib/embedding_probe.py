"""One text is embedded to see whether a model answers, and with how many dimensions."""

import base64
import json
from functools import partial

import openai

from ragsite.lib import embedding_endpoint, embeddings, vendor
from ragsite.lib.embeddings import EmbeddingModel
from ragsite.lib.errors import ModelFailed

_TEXT = "How many dimensions has this?"


def dimensions(model: EmbeddingModel) -> int:
    """How many a vector of the model has; where `model.dimensions` is not 0, exactly those.

    Raises ModelFailed for another number, and what `vendor.call` raises.
    """
    if model.provider == "local" or model.dimensions:
        embeddings.embed(model, [_TEXT])
        return model.dimensions
    return _size(
        vendor.call(
            embedding_endpoint.endpoint_of(model), model=model.model, ask=partial(_asked, model=model)
        )
    )


async def _asked(client: openai.AsyncOpenAI, *, model: EmbeddingModel) -> bytes:
    answer = await client.embeddings.with_raw_response.create(
        model=model.model, input=[_TEXT], encoding_format="base64"
    )
    return answer.content


def _size(content: bytes) -> int:
    try:
        [item] = json.loads(content)["data"]
        embedding = item["embedding"]
        size = len(base64.b64decode(embedding)) // 4 if isinstance(embedding, str) else len(embedding)
    except (ValueError, LookupError, TypeError):
        raise ModelFailed("The embedding endpoint's answer is not a list of embeddings.") from None
    if not size:
        raise ModelFailed("The embedding endpoint's vectors are empty.")
    return size
