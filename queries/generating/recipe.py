"""The recipe of an answer: the site's settings that decide what it says, by name."""

from hashlib import sha256
from typing import Any

from django.conf import settings

from documents.searching import reranking
from queries.generating import chat_models, generation, prompts


def current() -> dict[str, Any]:
    """The settings that are in force now, as JSON; what is switched off is left out.

    The recipe is kept with each answer and is part of the key of the answer cache: another recipe is another answer.
    Addresses may hold secrets and stand in it as fingerprints. The embedding space is not in it, because a change of
    the space raises the corpus version, which is part of the key as well.
    """
    return {
        "generator": settings.ANSWER_PROVIDER,
        "prompt_version": prompts.VERSION,
        **(_of_models() if generation.is_by_model() else {"models": [generation.EXTRACTIVE_MODEL]}),
        **(_of_reranker() if reranking.is_on() else {}),
    }


def _of_models() -> dict[str, Any]:
    models = chat_models.asked()
    return {
        "models": [one.model for one in models],
        "endpoints": fingerprint(" ".join(one.base_url for one in models)),
        "max_tokens": settings.ANSWER_MAX_TOKENS,
        "window_tokens": settings.ANSWER_WINDOW_TOKENS,
    }


def _of_reranker() -> dict[str, Any]:
    return {
        "reranker": settings.RERANK_MODEL or settings.RERANK_PROVIDER,
        "reranker_endpoint": fingerprint(f"{settings.RERANK_PROVIDER} {settings.RERANK_URL}"),
        "reranker_candidates": settings.RERANK_CANDIDATES,
    }


def fingerprint(text: str) -> str:
    """Differs where the text differs, and does not reveal it; empty for an empty text."""
    return sha256(text.encode()).hexdigest()[:12] if text else ""
