"""Passages that say the same, in two documents or two versions of one, must not fill an answer's sources. Pure.

Two passages say the same to a question if all the following hold:

- Their texts have the same figures, and nearly the same words: those in both are at least ALIKE of those in either.
  A figure that differs is a difference, however long the text around it: a table of another year, the price of another
  version.
- Each covers as much of the question's words as the other, title and headings included. So of two contracts with one
  clause in common, the one that the question names is not the other's copy.

Similar vectors alone would take tables of two years for one: they say nothing of figures.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from documents.searching.hits import Hit

# Of the words in either text, the part that is in both (Jaccard's coefficient).
ALIKE: Final = 0.9
# BM25 scores of copies differ a little, since their titles differ in length. A word of the question makes more of it.
SAME_COVER: Final = 0.1
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Words:
    plain: frozenset[str]
    figures: frozenset[str]


def last(hits: Sequence[Hit], *, wanted: int) -> list[Hit]:
    """The hits in their order, but copies of a better one behind all others: there are as many as before.

    Looks no further than it takes to have `wanted` that differ.
    """
    kept: list[tuple[Hit, _Words]] = []
    copies: list[Hit] = []
    for place, hit in enumerate(hits):
        if len(kept) == wanted:
            return [*(best for best, _ in kept), *hits[place:], *copies]
        words = _words(hit.text)
        if any(_same(hit, words, *other) for other in kept):
            copies.append(hit)
        else:
            kept.append((hit, words))
    return [*(best for best, _ in kept), *copies]


def _words(text: str) -> _Words:
    words = frozenset(_WORD.findall(text.casefold()))
    figures = frozenset(word for word in words if any(map(str.isdigit, word)))
    return _Words(words - figures, figures)


def _same(hit: Hit, words: _Words, other: Hit, others: _Words) -> bool:
    if abs(hit.bm25 - other.bm25) > SAME_COVER * max(hit.bm25, other.bm25) or words.figures != others.figures:
        return False
    either = len(words.plain | others.plain)
    return len(words.plain & others.plain) >= ALIKE * either
