"""What finds and writes answers: the site's settings that decide one, by name."""

from hashlib import sha256
from typing import Any

from django.conf import settings

from documents.searching import reranking
from queries.generating import generation, prompts, trials


def named() -> dict[str, Any]:
    """Kept with each answer (`queries.traces.tracing`), and part of what it is cached under (`queries.caching.cache`): made otherwise it
    would be another. The embedding space is not among them: a change of it raises the corpus version.

    What is switched off is left out. Of addresses is told whether they are others, and no more.
    """
    return {
        "generator": settings.ANSWER_PROVIDER,
        "prompt_version": prompts.VERSION,
        **(_of_models() if generation.is_by_model() else {"models": [generation.EXTRACTIVE_MODEL]}),
        **(_of_reranker() if reranking.is_on() else {}),
    }


def _of_models() -> dict[str, Any]:
    asked = trials.models()
    return {
        "models": [one.model for one in asked],
        "endpoints": version_of(" ".join(one.base_url for one in asked)),
        "max_tokens": settings.ANSWER_MAX_TOKENS,
        "window_tokens": settings.ANSWER_WINDOW_TOKENS,
    }


def _of_reranker() -> dict[str, Any]:
    return {
        "reranker": settings.RERANK_MODEL or settings.RERANK_PROVIDER,
        "reranker_endpoint": version_of(f"{settings.RERANK_PROVIDER} {settings.RERANK_URL}"),
        "reranker_candidates": settings.RERANK_CANDIDATES,
    }


def version_of(text: str) -> str:
    """Tells one text from another; empty where there is none."""
    return sha256(text.encode()).hexdigest()[:12] if text else ""
