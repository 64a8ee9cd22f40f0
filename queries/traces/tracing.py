"""Records how an answer came about: enough to explain it, and to ask again, in a few kilobytes.

Texts are not copied. A candidate is named by its chunk and its span in the document; the words of those that became
sources are in the history's row. `queries.traces.explaining` reads what is stored here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from accounts.models import Tenant
from apikeys.callers import Caller
from documents.searching.search import Found, Hit
from queries.answers import Ask
from queries.generating import generation, recipe
from queries.sources import Source
from ragsite.lib import tokens

VERSION: Final = 1
# The candidates that are stored: the answer's sources, the best of the fused ranking, and the best of each leg. That is
# 90 at most, because no more than 50 sources can be asked for.
MOST_FUSED: Final = 20
MOST_OF_A_LEG: Final = 10
MOST_TERMS: Final = 32

# The order of a candidate's values. Names in every row would take more space than the values.
COLUMNS: Final = ("chunk", "document", "page", "start", "end", "cosine", "dense", "bm25", "lexical", "score",
                  "fused", "n")  # fmt: skip


@dataclass(slots=True)
class Trace:
    """Filled in while a question is being answered.

    `given` are the sources of the answer, in order; `replay_of` is the query that is being asked again.
    """

    caller: Caller
    ask: Ask
    tenant: Tenant
    found: Found | None = None
    given: Sequence[Source] = ()
    replay_of: UUID | None = None

    def stored(self) -> dict[str, Any]:
        """As JSON for the history's row. Of the tenant's prompt it has a fingerprint alone."""
        kept: dict[str, Any] = {
            "v": VERSION,
            "asked": _asked(self.ask),
            "rights": None if self.caller.collections is None else _texts(self.caller.collections),
            "settings": settled(self.tenant, self.ask),
        }
        if self.found is not None:
            kept |= _retrieved(self.found, self.given)
            kept["prompt"] = _prompted(self.given)
        if self.replay_of is not None:
            kept["replay_of"] = str(self.replay_of)
        return kept


def settled(tenant: Tenant, ask: Ask) -> dict[str, Any]:
    """The settings of the site and the tenant that decide an answer."""
    return {
        "corpus_version": tenant.corpus_version,
        "top_k": ask.top_k or tenant.top_k,
        "distance_threshold": tenant.distance_threshold,
        "tenant_prompt": recipe.fingerprint(tenant.prompt),
        **recipe.current(),
    }


def _asked(ask: Ask) -> dict[str, Any]:
    """The parameters that were given; of a conversation only its length, since the history has its words."""
    given = {
        name: value for name, value in ask.parameters().items() if value not in (None, (), {}, "", "auto")
    }
    if ask.turns:
        given["turns"] = len(ask.turns)
    if ask.document_ids is not None:  # an empty list is a filter too
        given["document_ids"] = _texts(ask.document_ids)
    return given


def _retrieved(found: Found, given: Sequence[Source]) -> dict[str, Any]:
    considered = found.considered or found.hits
    terms = sorted(found.idf.items(), key=lambda term: -term[1])[:MOST_TERMS]
    numbers = {hit.chunk_id: source.n for source in given for hit in source.hits}
    documents: dict[UUID, int] = {}
    rows = [
        _row(hit, ranks, documents.setdefault(hit.document_id, len(documents)), numbers.get(hit.chunk_id))
        for hit, ranks in _kept(considered, numbers)
    ]
    return {
        "space": [str(found.space.pk), str(found.space)] if found.space else None,
        "weight": round(found.weight, 4),
        "terms": [[word, round(idf, 3)] for word, idf in terms],
        "considered": len(considered),
        "documents": _texts(documents),
        "candidates": rows,
    }


Ranks = tuple[int, int | None, int]
"""In the dense leg, in BM25 (None: it has no word of the question), and fused; from 1."""


def _kept(considered: Sequence[Hit], numbers: Mapping[UUID, int]) -> Iterable[tuple[Hit, Ranks]]:
    dense = _ranks(sorted(considered, key=lambda hit: -hit.cosine))
    lexical = _ranks(sorted((hit for hit in considered if hit.bm25 > 0), key=lambda hit: -hit.bm25))
    for fused, hit in enumerate(considered, start=1):
        ranks = dense[hit.chunk_id], lexical.get(hit.chunk_id), fused
        is_best = fused <= MOST_FUSED or min(ranks[0], ranks[1] or ranks[0]) <= MOST_OF_A_LEG
        if is_best or hit.chunk_id in numbers:
            yield hit, ranks


def _ranks(hits: Sequence[Hit]) -> dict[UUID, int]:
    return {hit.chunk_id: rank for rank, hit in enumerate(hits, start=1)}


def _row(hit: Hit, ranks: Ranks, document: int, number: int | None) -> list[Any]:
    """The values of COLUMNS."""
    dense, lexical, fused = ranks
    scores = round(hit.cosine, 4), dense, round(hit.bm25, 3), lexical, hit.score, fused
    return [str(hit.chunk_id), document, hit.first_page, hit.start, hit.end, *scores, number]


def _prompted(given: Sequence[Source]) -> dict[str, Any] | None:
    """The sources in the model's prompt, with their estimated tokens; None where no model was asked."""
    if not generation.is_by_model() or not given:
        return None
    return {"sources": [[source.n, tokens.about(source.text)] for source in given]}


def _texts(ids: Iterable[UUID]) -> list[str]:
    return [str(identifier) for identifier in ids]
