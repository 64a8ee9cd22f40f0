"""What differs between an answer then and now: its sources, its words, what it was made with. Pure."""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, Literal, NamedTuple

_WORDS = re.compile(r"\s+|[^\s]+")
# Longer answers are shown whole, then and now: the comparison takes the product of their lengths.
_MOST_WORDS: Final = 3_000

Change = Literal["same", "removed", "added"]


class Piece(NamedTuple):
    """Words that are in both answers, only in the one then, or only in the one now."""

    change: Change
    text: str


class Place(NamedTuple):
    """A source as it was given; `n` from 1. Spans are characters of the document's text."""

    n: int
    chunk: str
    document: str
    page: int | None
    start: int
    end: int

    def is_same_text(self, other: "Place") -> bool:
        """A document that was processed again has new chunks, which say the same at the same place."""
        overlaps = self.start < other.end and other.start < self.end
        return self.chunk == other.chunk or (self.document == other.document and overlaps)


def texts(then: str, now: str) -> list[Piece]:
    """The words of both answers in order."""
    before, after = _WORDS.findall(then), _WORDS.findall(now)
    if max(len(before), len(after)) > _MOST_WORDS:
        whole = [Piece("same", then)] if then == now else [Piece("removed", then), Piece("added", now)]
        return [piece for piece in whole if piece.text]
    pieces = []
    for tag, start, end, other_start, other_end in SequenceMatcher(
        None, before, after, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(before[start:end])))
            continue
        pieces.append(Piece("removed", "".join(before[start:end])))
        pieces.append(Piece("added", "".join(after[other_start:other_end])))
    return [piece for piece in pieces if piece.text]


def sources(then: Sequence[Place], now: Sequence[Place]) -> list[dict[str, Any]]:
    """Each source of either answer once, in the order of now, the lost ones last."""
    left = list(then)
    found = []
    for place in now:
        before = next((other for other in left if place.is_same_text(other)), None)
        if before is not None:
            left.remove(before)
        found.append(_source(place, then=before.n if before else None, now=place.n))
    return [*found, *(_source(place, then=place.n, now=None) for place in left)]


def _source(place: Place, *, then: int | None, now: int | None) -> dict[str, Any]:
    if then is None:
        change = "gained"
    elif now is None:
        change = "lost"
    else:
        change = "same" if then == now else "moved"
    return {"change": change, "then": then, "now": now, "chunk_id": place.chunk, "document_id": place.document,
            "page": place.page}  # fmt: skip


def settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was set otherwise, by name."""
    names = [*then, *(name for name in now if name not in then)]
    pairs = ((name, then.get(name), now.get(name)) for name in names)
    return [{"name": name, "then": before, "now": after} for name, before, after in pairs if before != after]
