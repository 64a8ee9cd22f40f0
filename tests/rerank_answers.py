"""The bodies that a reranker answers with. To this one the longest text is the best."""

from collections.abc import Mapping
from typing import Any


def answer(body: Mapping[str, Any]) -> Any:
    """In Jina's form, with Cohere's searches; in that of text-embeddings-inference where `texts` are sent."""
    texts = body.get("texts") or body["documents"]
    scores = sorted(((1 - 1 / (1 + len(text)), index) for index, text in enumerate(texts)), reverse=True)
    if "texts" in body:
        return [{"index": index, "score": score} for score, index in scores]
    return {
        "results": [{"index": index, "relevance_score": score} for score, index in scores],
        "usage": {"total_tokens": sum(len(text.split()) for text in texts)},
        "meta": {"billed_units": {"search_units": 1}},
    }
