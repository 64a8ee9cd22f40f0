"""Puts a document together from paragraphs, headings, lists and tables, within the limits while it grows."""

import re
from collections.abc import Iterable
from typing import Final

from documents.formats.decoding import REPLACEMENT
from documents.structure import (
    LABEL_CHARACTERS,
    MAX_BLOCKS,
    Block,
    Failure,
    Kind,
    Limits,
    ParsedDocument,
    UnreadableError,
)

BREAK: Final = "\n\n"  # between blocks, and between pages
DEEPEST_HEADING: Final = 9
# What Postgres refuses, and control characters, which show as nothing and tear words apart.
_UNSTORABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BLANKS: Final = re.compile(r"[^\S\n]+")


def one_line(text: str) -> str:
    """`text` with every run of white space as one space, none at its ends."""
    return " ".join(text.split())


def whole(text: str | None, otherwise: int, *, digits: int = 6) -> int:
    """A number that the file writes; `otherwise` where it is none, or has more digits, which a stranger chooses."""
    return int(text) if text and text.isdecimal() and len(text) <= digits else otherwise


class Builder:
    """Collects blocks in reading order. Every method raises `UnreadableError` as soon as a limit is passed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pieces: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._page_starts: list[int] = []
        self._name = ""

    def page(self, name: str = "") -> None:
        """Begin a page; those of a document that has pages begin before its first block.

        `name`: a heading of level 1 over it, which an empty page goes without.
        """
        if len(self._page_starts) == self._limits.pages:
            raise UnreadableError(Failure.TOO_MANY_PAGES)
        if self._page_starts:
            self._grow(BREAK)
        self._page_starts.append(self._length)
        self._name = name

    def heading(self, text: str, level: int) -> None:
        """A heading on one line; nothing where `text` is blank."""
        line = one_line(_clean(text))
        if line:
            level = min(max(level, 1), DEEPEST_HEADING)
            self._block([line], Block(0, 0, Kind.HEADING, level, line[:LABEL_CHARACTERS].rstrip()))

    def paragraph(self, text: str) -> None:
        """A paragraph whose line breaks are kept; nothing where `text` is blank."""
        lines = (_BLANKS.sub(" ", line).strip() for line in _clean(text).splitlines())
        self.lines(filter(None, lines), Kind.PARAGRAPH)

    def code(self, text: str) -> None:
        """Lines whose white space counts."""
        self.lines(_clean(text).rstrip().splitlines(), Kind.CODE)

    def lines(self, lines: Iterable[str], kind: Kind) -> None:
        """One block with a line an item or a row; nothing where there are none."""
        self._block(lines, Block(0, 0, kind))

    def append(self, document: ParsedDocument, *, deeper: int = 0) -> None:
        """All of another document, its headings `deeper` levels down; its pages are not taken over."""
        text, shift = document.text, self._begin()
        self._grow(text)
        for block in document.blocks:
            level = min(block.level + deeper, DEEPEST_HEADING) if block.level else 0
            self._keep(Block(block.start + shift, block.end + shift, block.kind, level, block.label))

    def finish(self, title: str = "") -> ParsedDocument:
        """The document; raises `UnreadableError` where it holds no visible character."""
        text = "".join(self._pieces)
        if not text.strip():
            raise UnreadableError(Failure.NO_TEXT)
        title = one_line(_clean(title))[:LABEL_CHARACTERS].rstrip()
        return ParsedDocument(text=text, blocks=self._blocks, page_starts=self._page_starts, title=title)

    def first_heading(self) -> str:
        """The first heading of the highest level that there is, or nothing."""
        headings = [block for block in self._blocks if block.label]
        return min(headings, key=lambda block: block.level).label if headings else ""

    def _block(self, lines: Iterable[str], block: Block) -> None:
        start = end = -1
        for line in lines:
            clean = _clean(line)
            if start < 0:
                if not clean.strip():
                    continue
                start = self._begin()
            else:
                self._grow("\n")
            self._grow(clean)
            end = self._length if clean.strip() else end
        if start >= 0:
            self._keep(Block(start, end, block.kind, block.level, block.label))

    def _begin(self) -> int:
        """Where a new block begins: after a gap, unless nothing stands on its page yet."""
        name, self._name = self._name, ""
        self.heading(name, 1)
        fresh = not self._pieces or self._page_starts[-1:] == [self._length]
        if not fresh:
            self._grow(BREAK)
        return self._length

    def _grow(self, text: str) -> None:
        self._length += len(text)
        if self._length > self._limits.characters:
            raise UnreadableError(Failure.TOO_LARGE_TEXT)
        self._pieces.append(text)

    def _keep(self, block: Block) -> None:
        if len(self._blocks) == MAX_BLOCKS:
            raise UnreadableError(Failure.TOO_LARGE_TEXT)
        self._blocks.append(block)


def _clean(text: str) -> str:
    return _UNSTORABLE.sub(REPLACEMENT, text)
