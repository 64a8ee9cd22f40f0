"""Texts to vectors by any OpenAI-compatible endpoint."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import openai
from numpy.typing import NDArray

from ragsite.lib import vendor
from ragsite.lib.embeddings import EmbeddingModel, Vectors, mismatch
from ragsite.lib.errors import ModelFailed
from ragsite.lib.vendor_client import Endpoint

BATCH_TEXTS = 2_048  # OpenAI's bound on inputs a request
# OpenAI's other bound is 300,000 tokens, and no common script has under 2 bytes a token.
BATCH_BYTES = 600_000
ANSWER_BYTES = 100_000_000  # 2,048 vectors of 3,072 numbers, even where they are written out as decimals


def embed(model: EmbeddingModel, texts: Sequence[str]) -> Vectors:
    """The vectors of `texts`, at least one, in their order. Raises what `vendor.call` raises, for each request."""
    return np.concatenate([_embed_batch(model, batch) for batch in batches(texts)])


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Consecutive runs of `texts`, each within what one request may hold; a single text is never split."""
    batch: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode())
        if batch and (len(batch) == BATCH_TEXTS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    if batch:
        yield batch


def _embed_batch(model: EmbeddingModel, texts: list[str]) -> Vectors:
    endpoint = Endpoint(
        base_url=model.base_url,
        api_key=model.api_key,
        timeout_seconds=model.timeout_seconds,
        max_answer_bytes=ANSWER_BYTES,
    )
    answer = vendor.call(endpoint, {model.model: partial(_asked, model=model, texts=texts)})
    return read_vectors(answer, count=len(texts), dimensions=model.dimensions)


async def _asked(client: openai.AsyncOpenAI, *, model: EmbeddingModel, texts: list[str]) -> bytes:
    # Asked for explicitly, base64 comes as it is; the client would decode it into lists of Python floats.
    ask = partial(
        client.embeddings.with_raw_response.create, model=model.model, input=texts, encoding_format="base64"
    )
    try:
        answer = await ask(dimensions=model.dimensions)
    except openai.BadRequestError:
        answer = await ask()  # some servers refuse to be told the size of a model that has only one
    return answer.content


def read_vectors(content: bytes, *, count: int, dimensions: int) -> Vectors:
    """The `count` vectors in the body of an answer, made unit length. Raises `ModelFailed` where they are not that."""
    try:
        items = sorted(json.loads(content)["data"], key=_index)
        rows = [_row(item["embedding"]) for item in items]
    except (ValueError, LookupError, TypeError):
        raise ModelFailed("The embedding endpoint's answer is not a list of embeddings.") from None
    if len(rows) != count:
        raise ModelFailed(f"The embedding endpoint answered {count} texts with {len(rows)} vectors.")
    if wrong := {row.size for row in rows} - {dimensions}:
        raise ModelFailed(mismatch(max(wrong), dimensions))
    return _unit(np.stack(rows))


def _index(item: Mapping[str, Any]) -> int:
    return int(item["index"])


def _row(embedding: str | list[float]) -> NDArray[np.float32]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    return np.asarray(embedding, dtype=np.float32)  # asked for base64, and not every server knows it


def _unit(rows: NDArray[np.float32]) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and lengths.all()):
        raise ModelFailed("The embedding endpoint answered with a vector of no direction.")
    return np.asarray(rows / lengths, dtype=np.float32)
