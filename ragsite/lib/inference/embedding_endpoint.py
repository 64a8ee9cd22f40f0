"""Texts to vectors by any OpenAI-compatible endpoint: in as few requests as it takes, and no quicker than it allows."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import httpx2
import numpy as np
import openai
import tenacity
from numpy.typing import NDArray

from ragsite.lib import tokens
from ragsite.lib.concurrency.per_process import PerProcess
from ragsite.lib.errors import AppError, ModelFailed, ModelRefused, ModelTimeout, Unavailable
from ragsite.lib.inference import embedding_pace, vendor, vendor_errors
from ragsite.lib.inference.embeddings import EmbeddingModel, Vectors, mismatch
from ragsite.lib.inference.vendor_client import Endpoint

BATCH_TEXTS = 2_048  # OpenAI's bound on inputs a request
# OpenAI's other bound is 300,000 tokens, and no common script has under 2 bytes a token.
BATCH_BYTES = 600_000
ANSWER_BYTES = 100_000_000  # 2,048 vectors of 3,072 numbers, even where they are written out as decimals
PATIENT_TIMEOUT = 120.0  # seconds for one request of many texts, which a model on a CPU needs
PATIENT_BACKOFF = tenacity.wait_exponential_jitter(initial=1.0, max=30.0, jitter=1.0)
_REFUSED_SIZES = frozenset({400, 413, 422})
_SLOW_TEXTS = 64  # what even a slow model manages within the timeout


class TooMany(Exception):
    """The endpoint refused a request, perhaps for its size. `error` is what it is for a text alone."""

    def __init__(self, error: AppError) -> None:
        super().__init__(error.detail)
        self.error = error


class _Size:
    """How many texts an endpoint takes at once, as far as this process knows."""

    texts = BATCH_TEXTS


_sizes: PerProcess[tuple[str, str], _Size] = PerProcess(lambda _: _Size())


def embed(model: EmbeddingModel, texts: Sequence[str], *, patience_seconds: float = 0.0) -> Vectors:
    """The vectors of `texts`, at least one, in their order. Raises what `vendor.call` raises, for each request.

    With patience, each request waits for its turn within the endpoint's limits, and one that meets an endpoint that
    limits us or is down is tried again for so long; what will not mend by itself (`ModelRefused`) is raised at once.
    """
    limit = BATCH_BYTES
    if model.tokens_per_minute:  # a request of more than a minute's tokens would never be let in
        limit = min(limit, model.tokens_per_minute * tokens.BYTES_A_TOKEN // 2)
    made = [_embed_batch(model, batch, patience_seconds) for batch in batches(texts, limit_bytes=limit)]
    return np.concatenate(made)


def batches(texts: Sequence[str], *, limit_bytes: int = BATCH_BYTES) -> Iterator[list[str]]:
    """Consecutive runs of `texts`, each within what one request may hold; a single text is never split."""
    batch: list[str] = []
    size = 0
    for text in texts:
        length = _bytes(text)
        if batch and (len(batch) == BATCH_TEXTS or size + length > limit_bytes):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    if batch:
        yield batch


def _bytes(text: str) -> int:
    return len(text.encode())


def _embed_batch(model: EmbeddingModel, texts: list[str], patience_seconds: float) -> Vectors:
    """Where the endpoint refuses so many texts, or takes too long over them, fewer are sent from then on."""
    known = _sizes.get((model.base_url, model.model))
    if len(texts) > known.texts:
        return _in_parts(model, texts, patience_seconds, size=known.texts)
    try:
        return _patiently(model, texts, patience_seconds)
    except TooMany as refusal:
        if len(texts) == 1:
            raise refusal.error from None
        size = (len(texts) + 1) // 2
    except ModelTimeout:
        if len(texts) <= _SLOW_TEXTS or not patience_seconds:
            raise
        size = _SLOW_TEXTS  # at once, for each try takes the whole timeout
    vectors = _in_parts(model, texts, patience_seconds, size=size)
    # Only now: a text that is refused by itself says nothing about sizes.
    known.texts = min(known.texts, size)
    return vectors


def _in_parts(model: EmbeddingModel, texts: list[str], patience_seconds: float, *, size: int) -> Vectors:
    parts = [texts[start : start + size] for start in range(0, len(texts), size)]
    return np.concatenate([_embed_batch(model, part, patience_seconds) for part in parts])


def _patiently(model: EmbeddingModel, texts: list[str], patience_seconds: float) -> Vectors:
    retrying = tenacity.Retrying(
        stop=tenacity.stop_before_delay(patience_seconds),
        wait=partial(_pause, model),
        retry=tenacity.retry_if_exception(_may_mend),
        reraise=True,
    )
    return retrying(_once, model, texts, patience_seconds)


def _may_mend(error: BaseException) -> bool:
    return isinstance(error, Unavailable | ModelFailed) and not isinstance(error, ModelRefused)


def _pause(model: EmbeddingModel, state: tenacity.RetryCallState) -> float:
    """What the endpoint asks for, which then all processes keep, or a little longer each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = float(error.headers.get("Retry-After", 0)) if isinstance(error, AppError) else 0.0
    if asked:
        embedding_pace.hold(model, asked)
    return max(asked, PATIENT_BACKOFF(state))


def _once(model: EmbeddingModel, texts: list[str], patience_seconds: float) -> Vectors:
    expected = sum(map(tokens.about, texts))  # what the endpoint reports afterwards corrects it
    embedding_pace.wait(model, expected, patience_seconds=patience_seconds)
    asked = partial(ask, model=model, texts=texts)
    endpoint = endpoint_of(model, patient=patience_seconds > 0)
    content, headers = vendor.call(endpoint, model=model.model, ask=asked)
    if (seconds := vendor_errors.exhausted_seconds(headers)) > 0:
        embedding_pace.hold(model, seconds)
    if model.tokens_per_minute:
        embedding_pace.correct(model, _tokens(content, otherwise=expected) - expected)
    return read_vectors(content, count=len(texts), dimensions=model.dimensions)


def endpoint_of(model: EmbeddingModel, *, patient: bool = False) -> Endpoint:
    return Endpoint(
        base_url=model.base_url,
        api_key=model.api_key,
        # Limits that ingestion runs into do not close the endpoint to questions.
        purpose="embeddings of documents" if patient else "embeddings",
        timeout_seconds=max(model.timeout_seconds, PATIENT_TIMEOUT if patient else 0.0),
        max_answer_bytes=ANSWER_BYTES,
    )


async def ask(
    client: openai.AsyncOpenAI, *, model: EmbeddingModel, texts: list[str]
) -> tuple[bytes, httpx2.Headers]:
    # Asked for explicitly, base64 comes as it is; the client would decode it into lists of Python floats.
    create = partial(
        client.embeddings.with_raw_response.create, model=model.model, input=texts, encoding_format="base64"
    )
    try:
        try:
            answer = await create(dimensions=model.dimensions or openai.omit)
        except openai.BadRequestError:
            if not model.dimensions:
                raise
            answer = await create()  # some servers refuse to be told the size of a model that has only one
    except openai.APIStatusError as error:
        if error.status_code not in _REFUSED_SIZES:
            raise
        raise TooMany(vendor_errors.app_error(error)) from None
    return answer.content, answer.headers


def _tokens(content: bytes, *, otherwise: int) -> int:
    """What the endpoint says that a request took."""
    try:
        return int(json.loads(content)["usage"]["total_tokens"])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return otherwise


def read_vectors(content: bytes, *, count: int, dimensions: int) -> Vectors:
    """The `count` vectors in the body of an answer, made unit length. Raises `ModelFailed` where they are not that.

    `dimensions` 0: as many as the first has.
    """
    try:
        items = sorted(json.loads(content)["data"], key=_index)
        rows = [_row(item["embedding"]) for item in items]
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        raise ModelFailed("The embedding endpoint's answer is not a list of embeddings.") from None
    if len(rows) != count:
        raise ModelFailed(f"The embedding endpoint answered {count} texts with {len(rows)} vectors.")
    wanted = dimensions or rows[0].size
    if wrong := {row.size for row in rows} - {wanted}:
        raise ModelRefused(mismatch(max(wrong), wanted))
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
