"""Hybrid search: `retrieval` finds candidates by vectors and by BM25, `fusion` ranks them.

Then copies are put behind what differs (`duplicates`), and a reranker may have the last word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from time import perf_counter
from typing import Any
from uuid import UUID

from django.conf import settings
from pgvector import HalfVector

from apikeys.purses import Purse
from documents.embedding import spaces
from documents.models import EmbeddingSpace
from documents.searching import duplicates, fusion, reranking, retrieval, survey
from documents.searching.fusion import Candidate
from documents.searching.hits import Hit
from documents.searching.scope import Scope
from documents.searching.survey import Survey, Term
from ragsite.lib import row_security
from ragsite.lib.inference.embedding_cache import embed_cached
from ragsite.lib.inference.embeddings import Vectors, embed

__all__ = ["Found", "Hit", "Scope", "candidates", "hybrid"]


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, best first; the IDF in this corpus of each of the question's terms that it has; milliseconds by step.

    `considered` is every candidate in the order of its rank, `space` whose vectors they were compared in, and `weight`
    what the words counted for beside them, 0 to below 1.
    """

    hits: Sequence[Hit]
    idf: Mapping[str, float]
    timings_ms: Mapping[str, float]
    considered: Sequence[Hit] = ()
    space: EmbeddingSpace | None = None
    weight: float = 0.0


def hybrid(
    scope: Scope,
    question: str,
    *,
    top_k: int,
    purse: Purse | None = None,
    space: EmbeddingSpace | None = None,
) -> Found:
    """The `top_k` chunks that best answer the question; fewer only where fewer exist.

    Copies of a chunk follow after what differs. `space`: another than the one that serves, all of whose vectors are
    there. Raises BudgetSpent where the purse does not hold what a reranker, if one is configured, may cost.
    """
    found = candidates(scope, question, space=space)
    if not reranking.is_on() or not found.hits:
        return replace(found, hits=duplicates.last(found.hits, wanted=top_k)[:top_k])
    distinct = duplicates.last(found.hits, wanted=max(top_k, settings.RERANK_CANDIDATES))
    hits, reranked = reranking.reranked(question, distinct, purse=purse or Purse())
    step = "rerank_failed" if reranked.failure else "rerank"
    return replace(found, hits=hits[:top_k], timings_ms={**found.timings_ms, step: reranked.milliseconds})


def candidates(scope: Scope, question: str, *, space: EmbeddingSpace | None = None) -> Found:
    """Everything that either leg found, ranked by both."""
    started = perf_counter()
    space = space or spaces.active()
    vector = _embedded(question, space, owner=scope.tenant_id)
    embedded = perf_counter()
    with row_security.within(scope.tenant_id):
        known = survey.of(scope, question, space=space)
        hits, weight = ranked(scope, space, HalfVector(vector), known)
    done = perf_counter()
    timings = {"embed": _ms(embedded - started), "search": _ms(done - embedded)}
    idf = {term.word: term.idf for term in known.terms}
    return Found(hits, idf, timings, considered=hits, space=space, weight=weight)


def _embedded(question: str, space: EmbeddingSpace, *, owner: UUID) -> Vectors:
    model = spaces.model(space)
    if model.provider == "local":  # which takes little longer than to look it up and to keep it
        made = embed(model, [question])
    else:
        made = embed_cached(model, [question], space=space.pk, owner=owner)
    vector: Vectors = made[0]
    return vector


def ranked(scope: Scope, space: EmbeddingSpace, vector: HalfVector, known: Survey) -> tuple[list[Hit], float]:
    """Everything that either leg finds, best first; and what the words counted for in that order."""
    rows = retrieval.candidates(scope, space, vector, known)
    argument = _argument(rows, known.terms)
    found = [Candidate(row["chunk_id"], row["cosine"], row["bm25"]) for row in rows]
    in_order, weight = fusion.rank(found, ceiling=sum(term.idf for term in known.terms), argument=argument)
    by_id = {row["chunk_id"]: row for row in rows}
    return [Hit(**by_id[one.chunk_id], score=round(one.score, 4)) for one in in_order], weight


def _argument(rows: Sequence[dict[str, Any]], terms: Sequence[Term]) -> float:
    """`fusion.argument` of the candidates, which lose their `telling`."""
    words = {row["chunk_id"]: frozenset[int](row.pop("telling")) for row in rows}
    if not rows:
        return 0.0
    favourite = max(rows, key=lambda row: row["bm25"])
    nearest = nlargest(fusion.TOP, rows, key=lambda row: row["cosine"])
    return fusion.argument(
        words[favourite["chunk_id"]],
        [words[row["chunk_id"]] for row in nearest],
        {term.id: term.telling for term in terms},
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def terms_of(tenant_id: UUID, text: str) -> Sequence[Term]:
    """The text's distinct terms that the corpus knows, rarest first."""
    return survey.of(Scope(tenant_id), text).terms
