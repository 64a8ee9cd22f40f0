"""What is kept of how an answer came about: enough to explain it, and to ask it again, in a few kilobytes.

Texts are not copied. A candidate is named by its chunk and its span in the document, of which the history's sources
have the words where it was given. What is stored is read by `queries.traces.explaining`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from accounts.models import Tenant
from apikeys.callers import Caller
from documents.searching.search import Found, Hit
from queries.answers import Ask
from queries.generating import generation, makers
from queries.sources import Source
from ragsite.lib import tokens

VERSION: Final = 1
# Which candidates are kept: those that were given, the best by both legs, and the best of each. With 50 sources, the
# most that may be asked for, that is 90 at most.
MOST_FUSED: Final = 20
MOST_OF_A_LEG: Final = 10
MOST_TERMS: Final = 32

# A candidate's values, in this order: names in every row would be most of what is stored.
COLUMNS: Final = ("chunk", "document", "page", "start", "end", "cosine", "dense", "bm25", "lexical", "score",
                  "fused", "n")  # fmt: skip


@dataclass(slots=True)
class Trace:
    """What is to be kept of a question, as it comes to be known. `given` are the sources of the answer, in order;
    `replay_of` the query that is asked again."""

    caller: Caller
    ask: Ask
    tenant: Tenant
    found: Found | None = None
    given: Sequence[Source] = ()
    replay_of: UUID | None = None

    def stored(self) -> dict[str, Any]:
        """As JSON. Free of what no row may hold: the tenant's prompt is a digest."""
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
    """What the site and the tenant are set to, as far as it decides an answer."""
    return {
        "corpus_version": tenant.corpus_version,
        "top_k": ask.top_k or tenant.top_k,
        "distance_threshold": tenant.distance_threshold,
        "tenant_prompt": makers.version_of(tenant.prompt),
        **makers.named(),
    }


def _asked(ask: Ask) -> dict[str, Any]:
    """The parameters that were given. Of a conversation only how long it was: its words have a place of their own."""
    given = {
        name: value for name, value in ask.parameters().items() if value not in (None, (), {}, "", "auto")
    }
    if ask.turns:
        given["turns"] = len(ask.turns)
    if ask.document_ids is not None:  # none at all is a filter too
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
"""By the dense leg, by BM25 (None: none of the question's words is in it), and fused; from 1."""


def _kept(considered: Sequence[Hit], numbers: Mapping[UUID, int]) -> Iterable[tuple[Hit, Ranks]]:
    dense = _places(sorted(considered, key=lambda hit: -hit.cosine))
    lexical = _places(sorted((hit for hit in considered if hit.bm25 > 0), key=lambda hit: -hit.bm25))
    for place, hit in enumerate(considered, start=1):
        ranks = dense[hit.chunk_id], lexical.get(hit.chunk_id), place
        is_best = place <= MOST_FUSED or min(ranks[0], ranks[1] or ranks[0]) <= MOST_OF_A_LEG
        if is_best or hit.chunk_id in numbers:
            yield hit, ranks


def _places(hits: Sequence[Hit]) -> dict[UUID, int]:
    return {hit.chunk_id: place for place, hit in enumerate(hits, start=1)}


def _row(hit: Hit, ranks: Ranks, document: int, number: int | None) -> list[Any]:
    """The values of COLUMNS."""
    dense, lexical, fused = ranks
    scores = round(hit.cosine, 4), dense, round(hit.bm25, 3), lexical, hit.score, fused
    return [str(hit.chunk_id), document, hit.first_page, hit.start, hit.end, *scores, number]


def _prompted(given: Sequence[Source]) -> dict[str, Any] | None:
    """What a model was shown, by the estimate that decided how much of it had room; None where none was asked."""
    if not generation.is_by_model() or not given:
        return None
    return {"sources": [[source.n, tokens.about(source.text)] for source in given]}


def _texts(ids: Iterable[UUID]) -> list[str]:
    return [str(identifier) for identifier in ids]
