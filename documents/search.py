"""Hybrid search: `documents.retrieval` finds candidates by vectors and by BM25, `documents.fusion` ranks them.

Then copies are put behind what differs (`documents.duplicates`), and a reranker may have the last word.
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
from documents import chunking, duplicates, fusion, lexical, models, reranking, retrieval, spaces
from documents.fusion import Candidate
from documents.hits import Hit
from documents.models import CorpusStatistics, EmbeddingSpace
from documents.reranking import Reranked
from documents.retrieval import Scope, Term
from ragsite.lib import row_security
from ragsite.lib.embedding_cache import embed_cached

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
    reranked: Reranked | None = None
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
    return replace(
        found,
        hits=hits[:top_k],
        timings_ms={**found.timings_ms, step: reranked.milliseconds},
        reranked=reranked,
    )


def candidates(scope: Scope, question: str, *, space: EmbeddingSpace | None = None) -> Found:
    """Everything that either leg found, ranked by both."""
    started = perf_counter()
    space = space or spaces.active()
    model = spaces.model(space)
    vector = embed_cached(model, [question], space=space.pk, owner=scope.tenant_id)[0]
    embedded = perf_counter()
    with row_security.within(scope.tenant_id):
        terms = terms_of(scope.tenant_id, question)
        rows = retrieval.candidates(scope, space, HalfVector(vector), terms)
    found = [Candidate(row["chunk_id"], row["cosine"], row["bm25"]) for row in rows]
    by: dict[str, float] = {"ceiling": sum(term.idf for term in terms), "argument": argument(rows, terms)}
    ranked = fusion.rank(found, **by)
    by_id = {row["chunk_id"]: row for row in rows}
    hits = [Hit(**by_id[entry.chunk_id], score=round(entry.score, 4)) for entry in ranked]
    done = perf_counter()
    timings = {"embed": _ms(embedded - started), "search": _ms(done - embedded)}
    return Found(
        hits,
        {term.word: term.idf for term in terms},
        timings,
        considered=hits,
        space=space,
        weight=fusion.weight_of(found, **by),
    )


def argument(rows: Sequence[Mapping[str, Any]], terms: Sequence[Term]) -> float:
    """`fusion.argument` of the candidates. Only of a few are the words asked for: each takes a tenth of a millisecond."""
    if not rows or not any(term.telling for term in terms):
        return 0.0
    favourite = max(rows, key=lambda row: row["bm25"])
    nearest = nlargest(fusion.TOP, rows, key=lambda row: row["cosine"])
    return fusion.argument(
        _words(favourite), [_words(row) for row in nearest], {term.word: term.telling for term in terms}
    )


def _words(row: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        lexical.terms(chunking.in_context(row["text"], title=row["title"], heading=row["heading"]))
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def terms_of(tenant_id: UUID, question: str) -> list[Term]:
    """The question's distinct terms that the corpus knows, rarest first."""
    statistics = CorpusStatistics.objects.for_tenant(tenant_id).first()
    if statistics is None:
        return []
    words = {lexical.term_id(tenant_id, word): word for word in lexical.terms(question)}
    known = models.Term.objects.for_tenant(tenant_id).filter(term__in=words).order_by("chunks", "term")
    return [
        Term(
            words[row.term],
            row.term,
            row.chunks,
            idf=lexical.idf(statistics.chunks, row.chunks),
            telling=lexical.telling(statistics.chunks, row.chunks),
        )
        for row in known
    ]
