"""Calls to a reranker: a model that reads a question with each passage and says how well they go together.

Two forms are spoken: that of Cohere, Jina and those who follow them (`documents`), and that of Hugging Face's
text-embeddings-inference (`texts`). What answers is trusted with its own scores, and with nothing else.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx2

from ragsite.lib import deadlines
from ragsite.lib.breaker import Breaker
from ragsite.lib.errors import ClientLeft, ModelFailed, ModelRefused, ModelTimeout, Unavailable
from ragsite.lib.per_process import PerProcess
from ragsite.lib.vendor_client import run

OK: Final = 200
MOST_BYTES: Final = 1_000_000
MOST_TOKENS: Final = 100_000_000
_DOWN: Final = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranker:
    """Where a reranker answers. `timeout_seconds` bounds a whole call, of which there is one try."""

    form: Literal["documents", "texts"]
    url: str
    api_key: str = field(repr=False)
    model: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Scores:
    """One a text, in the texts' order, None for a text that was left out; tokens and searches as far as reported."""

    scores: Sequence[float | None]
    tokens: int = 0
    searches: int = 0


def scores(reranker: Reranker, question: str, texts: Sequence[str]) -> Scores:
    """How well each text answers. Raises `ModelTimeout`, `Unavailable` (not there, or the breaker is open), and
    `ModelFailed` for an error or nonsense, which is `ModelRefused` where asking again is no use."""
    with breakers.get(reranker).guarding():
        try:
            content = run(
                _asked(reranker, _body(reranker, question, texts)), deadlines.left(reranker.timeout_seconds)
            )
        except TimeoutError:
            raise ModelTimeout("The reranker took too long.") from None
        except httpx2.HTTPError:
            # `from None`: the original carries the request, whose headers carry the key.
            raise Unavailable("The connection to the reranker failed.") from None
        return read(content, count=len(texts))


def _body(reranker: Reranker, question: str, texts: Sequence[str]) -> dict[str, Any]:
    if reranker.form == "texts":
        return {"query": question, "texts": list(texts), "truncate": True}
    body: dict[str, Any] = {"query": question, "documents": list(texts), "top_n": len(texts)}
    return body | ({"model": reranker.model} if reranker.model else {})


async def _asked(reranker: Reranker, body: Mapping[str, Any]) -> bytes:
    headers = {"Authorization": f"Bearer {reranker.api_key}"} if reranker.api_key else {}
    async with _clients.get(reranker).stream("POST", reranker.url, json=body, headers=headers) as answer:
        if answer.status_code != OK:
            kind = ModelFailed if answer.status_code in _DOWN or answer.status_code >= 500 else ModelRefused
            raise kind(f"The reranker answered with HTTP {answer.status_code}.")
        content = b""
        async for (
            piece
        ) in answer.aiter_raw():  # as it came: what was asked not to be compressed cannot inflate
            content += piece
            if len(content) > MOST_BYTES:
                raise ModelFailed(f"The reranker's answer is longer than {MOST_BYTES:,} bytes.")
        return content


def read(content: bytes, *, count: int) -> Scores:
    """The scores in the body of an answer about `count` texts. Raises `ModelFailed` where there are none."""
    try:
        told = json.loads(content)
        entries = told if isinstance(told, list) else told["results"]
        found = dict(_entry(entry) for entry in entries)
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        raise ModelFailed("The reranker's answer is not a list of scores.") from None
    if not found or not found.keys() <= set(range(count)) or not all(map(math.isfinite, found.values())):
        raise ModelFailed("The reranker scored other texts than it was sent.")
    return Scores([found.get(place) for place in range(count)], *_taken(told))


def _entry(entry: Mapping[str, Any]) -> tuple[int, float]:
    return entry["index"], float(entry["score"] if "score" in entry else entry["relevance_score"])


def _taken(told: Any) -> tuple[int, int]:
    """Tokens and searches. Jina has `usage`, Cohere `meta.billed_units`; text-embeddings-inference says nothing."""
    told = told if isinstance(told, Mapping) else {}
    usage = _object(told, "usage")
    units = _object(_object(told, "meta"), "billed_units")
    return _count(usage.get("total_tokens", units.get("total_tokens"))), _count(units.get("search_units"))


def _object(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name)
    return found if isinstance(found, Mapping) else {}


def _count(value: Any) -> int:
    """A number of things that can be stored; 0 for anything else."""
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return min(max(int(value), 0), MOST_TOKENS) if real else 0


def _make_breaker(_: Reranker) -> Breaker:
    return Breaker("The reranker", failures=3, reset_seconds=30.0, counts=_is_down)


def _is_down(error: Exception) -> bool:
    """Not a question that it refuses, or whose asker left, which says nothing about the next one."""
    return not isinstance(error, ModelRefused | ClientLeft)


def _make_client(reranker: Reranker) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(reranker.timeout_seconds),
        follow_redirects=False,  # the key is for one address
        headers={"Accept-Encoding": "identity"},
    )


breakers = PerProcess(_make_breaker)
_clients = PerProcess(_make_client)
