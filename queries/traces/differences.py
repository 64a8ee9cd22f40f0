"""What differs between an answer then and now: sources, words and settings. Pure."""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, Literal, NamedTuple

_WORDS = re.compile(r"\s+|[^\s]+")
# Longer answers are shown whole, because comparing takes time in proportion to the product of the lengths.
_MOST_WORDS: Final = 3_000

Change = Literal["same", "removed", "added"]


class Piece(NamedTuple):
    """Words that are in both answers, only in the one then, or only in the one now."""

    change: Change
    text: str


class GivenSource(NamedTuple):
    """A source of an answer, whose number `n` counts from 1. `start` and `end` count characters of the document."""

    n: int
    chunk: str
    document: str
    page: int | None
    start: int
    end: int

    def is_same_text(self, other: "GivenSource") -> bool:
        """The same chunk, or an overlapping one: a document that was processed again has new chunks."""
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


def sources(then: Sequence[GivenSource], now: Sequence[GivenSource]) -> list[dict[str, Any]]:
    """Each source of either answer once: those of now in their order, then the lost ones."""
    left = list(then)
    found = []
    for source in now:
        before = next((other for other in left if source.is_same_text(other)), None)
        if before is not None:
            left.remove(before)
        found.append(_source(source, then=before.n if before else None, now=source.n))
    return [*found, *(_source(source, then=source.n, now=None) for source in left)]


def _source(source: GivenSource, *, then: int | None, now: int | None) -> dict[str, Any]:
    if then is None:
        change = "gained"
    elif now is None:
        change = "lost"
    else:
        change = "same" if then == now else "moved"
    return {"change": change, "then": then, "now": now, "chunk_id": source.chunk, "document_id": source.document,
            "page": source.page}  # fmt: skip


def settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings that differ, by name."""
    names = [*then, *(name for name in now if name not in then)]
    pairs = ((name, then.get(name), now.get(name)) for name in names)
    return [{"name": name, "then": before, "now": after} for name, before, after in pairs if before != after]
