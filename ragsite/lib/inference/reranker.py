"""Calls to a reranker: a model that reads a question with each passage and says how well they go together.

Two forms are spoken: that of Cohere, Jina and those who follow them (`documents`), and that of Hugging Face's
text-embeddings-inference (`texts`). What answers is trusted with its own scores, and with nothing else.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import httpx2
import openai

from ragsite.lib.errors import ModelFailed
from ragsite.lib.inference import vendor
from ragsite.lib.inference.circuit_rules import Rules
from ragsite.lib.inference.vendor_client import Endpoint

MOST_TOKENS: Final = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Reranker(Endpoint):
    """A reranker, `base_url` being its whole address. It is asked once: an order that comes late is none."""

    form: Literal["documents", "texts"]
    model: str
    purpose: str = "reranking"
    tries: int = 1
    rules: Rules = field(default_factory=lambda: Rules(failures=3))


@dataclass(frozen=True, slots=True)
class Scores:
    """One a text, in the texts' order, None for a text that was left out; tokens and searches as far as reported."""

    scores: Sequence[float | None]
    tokens: int = 0
    searches: int = 0


def scores(reranker: Reranker, question: str, texts: Sequence[str]) -> Scores:
    """How well each text answers. Raises what `vendor.call` raises."""
    return vendor.call(
        reranker, model=reranker.model, ask=partial(ask, reranker=reranker, question=question, texts=texts)
    )


async def ask(
    client: openai.AsyncOpenAI, *, reranker: Reranker, question: str, texts: Sequence[str]
) -> Scores:
    body = _body(reranker, question, texts)
    answer = await client.post(reranker.base_url, cast_to=httpx2.Response, body=body)
    return read(answer.content, count=len(texts))


def _body(reranker: Reranker, question: str, texts: Sequence[str]) -> dict[str, Any]:
    if reranker.form == "texts":
        return {"query": question, "texts": list(texts), "truncate": True}
    body: dict[str, Any] = {"query": question, "documents": list(texts), "top_n": len(texts)}
    return body | ({"model": reranker.model} if reranker.model else {})


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
