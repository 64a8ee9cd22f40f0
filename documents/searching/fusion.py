"""Hybrid ranking: one score from a candidate's cosine similarity and its BM25 score. Pure.

Candidates are ordered by a weighted sum, (1 - w) cosine + w bm25 / ceiling. Both parts stay on their absolute
scales: ranks (reciprocal rank fusion) and min-max or z scores blow up differences that mean nothing, and a leg
that finds all chunks alike would then decide as much as one that finds the only match. The weight w is the
question's own:

    w = b / (b + d + NOISE)    b = (PRIOR + agreement + evidence) * argument * lead of the lexical leg
                               d = lead of the dense leg

A leg's lead is how far its best candidate stands above the mean of its ten best: it is large for an order code
that one chunk holds, and small where a hundred rows share the question's words. That a list whose
top scores stand out is likelier to be right is the finding behind normalized query commitment: Shtok et al.,
"Predicting Query Performance by Query-Drift Estimation", ACM TOIS 30(2), 2012.

Agreement is the part of the ten best that the legs share.

Evidence is the lexical lead in nats, not as a part of the ceiling, over CONVINCING. Where a pasted sentence has ten
rare words that stand together in one chunk, that is no chance, and the chunk wins though a model that does not know the
language finds nothing in it. A lead made of common words alone is worth few nats.

The argument is what the lexical leg's favourite has against the dense leg's: the most telling of the question's words
that it has and most of the dense ten have not. Where those words stand everywhere, as in reports that share their
prose, there is none: the favourite is one of many that have them by chance, and the dense leg ranks. A name that the
ten have as well, such as the company's that all of them are about, is no argument either, however rare.

NOISE keeps differences too small to mean anything from deciding: then the dense leg ranks.

The score is that sum as a part of what a full match would have: cosine 1 and, in a chunk of average length, each of
the question's words once, which is only 1 / (1 + K1) of the ceiling.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import repeat
from math import sqrt
from statistics import fmean
from typing import Final, TypeVar
from uuid import UUID

from documents.searching import lexical

Word = TypeVar("Word", str, int)  # as it is written, or by its number

TOP: Final = 10
NOISE: Final = 0.05
# What a lexical lead counts with neither agreement nor evidence: a little, since a lead is a reason in itself.
PRIOR: Final = 0.1
# The lexical lead, in nats of idf, that is worth as much as full agreement. Where words merely happen to meet, leads
# are mostly below it; a pasted sentence's are above.
CONVINCING: Final = 4.0
ONCE: Final = 1 / (1 + lexical.K1)
# Candidates' cosines differ by a standard deviation of about 0.1 in all-MiniLM-L6-v2; some models keep all
# their cosines within a tenth of that range. What lies closer than this is spread out to it.
LEAST_SPREAD: Final = 0.08


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that a leg found. Both scores are exact: `bm25` is 0.0 only if no term of the question is in it."""

    chunk_id: UUID
    cosine: float
    bm25: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """`score` is in 0..1 and comparable between questions of one embedding space."""

    chunk_id: UUID
    score: float


def rank(
    candidates: Sequence[Candidate], *, ceiling: float, argument: float = 1.0
) -> tuple[list[Ranked], float]:
    """All candidates, best first, equals by id so that an order is stable; and the lexical leg's weight in it.

    `ceiling` is the sum of the idf of the question's terms that the searched corpus has: no BM25 score can
    exceed it, and bm25 / ceiling is the part of the question's words that a chunk covers. 0: dense alone.
    `argument`: what the function of that name says.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.chunk_id)
    dense, covered = _scaled(ordered, ceiling)
    weight = lexical_weight(dense, covered, ceiling=ceiling, argument=argument)
    full = (1 - weight) + weight * ONCE
    scores = [
        ((1 - weight) * cosine + weight * part) / full for cosine, part in zip(dense, covered, strict=True)
    ]
    best_first = sorted(zip(scores, ordered, strict=True), key=lambda scored: -scored[0])
    return [Ranked(one.chunk_id, min(max(score, 0.0), 1.0)) for score, one in best_first], weight


def _scaled(candidates: Sequence[Candidate], ceiling: float) -> tuple[list[float], list[float]]:
    dense = _spread_out([candidate.cosine for candidate in candidates])
    return dense, [candidate.bm25 / ceiling if ceiling > 0 else 0.0 for candidate in candidates]


def argument(
    favourite: AbstractSet[Word], nearest: Sequence[AbstractSet[Word]], telling: Mapping[Word, float]
) -> float:
    """How telling, 0 to 1, what sets the lexical leg's best candidate apart from the dense leg's best ones is.

    Each is given by its words; `telling` is of each of the question's (`lexical.telling`).
    """
    against = [
        word
        for word in favourite & telling.keys()
        if 2 * sum(word in words for words in nearest) <= len(nearest)
    ]
    return max((telling[word] for word in against), default=0.0)


def lexical_weight(
    dense: Sequence[float], covered: Sequence[float], *, ceiling: float, argument: float = 1.0
) -> float:
    """How much the lexical leg counts for this question, 0 to below 1, from both legs' scores of all candidates."""
    if not dense:
        return 0.0
    lead = _lead(covered)
    lexical_leg = (PRIOR + _agreement(dense, covered) + lead * ceiling / CONVINCING) * argument * lead
    return lexical_leg / (lexical_leg + _lead(dense) + NOISE)


def _lead(scores: Sequence[float]) -> float:
    # Copies of a text score alike and count once: twelve revisions of a sheet must not hide that it stands out.
    distinct = sorted({round(score, 3) for score in scores}, reverse=True)[:TOP]
    missing = min(TOP, len(scores)) - len(distinct)
    return distinct[0] - fmean([*distinct, *repeat(distinct[-1], missing)])


def _agreement(dense: Sequence[float], covered: Sequence[float]) -> float:
    matching = [i for i, part in enumerate(covered) if part > 0]
    by_words = sorted(matching, key=lambda i: -covered[i])[:TOP]
    by_dense = sorted(range(len(dense)), key=lambda i: -dense[i])[:TOP]
    return len(set(by_dense) & set(by_words)) / len(by_dense)


def _spread_out(cosines: Sequence[float]) -> list[float]:
    if not cosines:
        return []
    mean = fmean(cosines)
    spread = sqrt(fmean((cosine - mean) ** 2 for cosine in cosines))
    if not 0 < spread < LEAST_SPREAD:
        return list(cosines)
    return [mean + (cosine - mean) * LEAST_SPREAD / spread for cosine in cosines]
