"""Puts the best of what was found into the order of a reranker, where one is configured.

It is an improvement and no need: where it fails or takes too long, the fused order stands, and what was found says so.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from django.conf import settings

from apikeys import prices
from apikeys.prices import Amount
from apikeys.purses import Purse
from apikeys.spending import Spent
from documents import chunking
from documents.searching.hits import Hit
from ragsite.lib import tokens
from ragsite.lib.errors import ClientLeft, ModelFailed, ModelTimeout, Unavailable

if TYPE_CHECKING:
    from ragsite.lib.inference.reranker import Reranker

NONE = "none"
_FORMS: dict[str, Literal["documents", "texts"]] = {
    "cohere": "documents",
    "jina": "documents",
    "tei": "texts",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reranked:
    """What became of the reranking: `failure` is the code of the error for which the fused order stands, or empty."""

    milliseconds: float
    failure: str = ""


def is_on() -> bool:
    return bool(settings.RERANK_PROVIDER != NONE)


def reranked(question: str, hits: Sequence[Hit], *, purse: Purse) -> tuple[list[Hit], Reranked]:
    """The first `RERANK_CANDIDATES` by the reranker, the rest after them. Raises BudgetSpent alone.

    Scores stay the fused ones: those are comparable between questions, and thresholds are made for them.
    """
    from ragsite.lib.inference import reranker as endpoint  # noqa: PLC0415  what it imports is dear, and seldom needed

    first, rest = list(hits[: settings.RERANK_CANDIDATES]), list(hits[settings.RERANK_CANDIDATES :])
    texts = [chunking.in_context(hit.text, title=hit.title, heading=hit.heading) for hit in first]
    purse.reserve(_most(question, texts))
    began = perf_counter()
    try:
        scores = endpoint.scores(configured(), question, texts)
    except ClientLeft:
        purse.take(Spent(cost_usd=purse.reserved))  # it was asked all the same
        raise
    except (ModelFailed, ModelTimeout, Unavailable) as error:
        # One that took too long may be on the vendor's bill; one that was refused, or never arrived, is free.
        if isinstance(error, ModelTimeout):
            purse.take(Spent(cost_usd=purse.reserved))
        logger.warning("the reranker gave no order: %s", error.detail)
        return [*first, *rest], Reranked(_since(began), error.error_code)
    cost = prices.cost(settings.RERANK_MODEL, Amount(scores.tokens, searches=scores.searches))
    purse.take(Spent(prompt_tokens=scores.tokens, cost_usd=cost))
    return [*_ordered(first, scores.scores), *rest], Reranked(_since(began))


def _ordered(hits: Sequence[Hit], scores: Sequence[float | None]) -> list[Hit]:
    """By the scores; those that have none last, in the order in which they were."""
    scored = [replace(hit, rerank=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=lambda hit: (hit.rerank is None, -(hit.rerank or 0.0)))


def _since(moment: float) -> float:
    return round((perf_counter() - moment) * 1000, 1)


def configured() -> "Reranker":
    """The one that the settings name; there is one where reranking `is_on`."""
    from ragsite.lib.inference.reranker import Reranker  # noqa: PLC0415  as above

    return Reranker(
        form=_FORMS[settings.RERANK_PROVIDER],
        base_url=settings.RERANK_URL,
        api_key=settings.RERANK_API_KEY,
        model=settings.RERANK_MODEL,
        timeout_seconds=settings.RERANK_TIMEOUT_MS / 1000,
    )


def _most(question: str, texts: Sequence[str]) -> Decimal:
    """What the call may cost. The question is read with each text."""
    read = sum(tokens.most(text) + tokens.most(question) for text in texts)
    return prices.most([settings.RERANK_MODEL], Amount(read, searches=1))
