"""Cuts a passage into what an answer can quote: sentences of prose and rows of tables. Pure, and linear in the text.

Code is not quoted: cut short or put on one line it would be of no use.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain, pairwise
from typing import Final, NamedTuple

from documents import sentences

# Text without a full stop for longer than this is quoted in part.
LONGEST_QUOTE: Final = 400

_LINE = re.compile(r"[^\n]+")
_FENCE = re.compile(r"^[ \t]{0,3}(?:```|~~~)[`~]*[ \t]*(?P<language>[^\s`]?)", re.MULTILINE)
_RULE = re.compile(r"[\s|:]*-[\s|:-]*")  # the line between a table's head and its rows
_BAR = re.compile(r"(?<!\\)\|")
_LIST_MARK = re.compile(r"(?:[-*+•‣◦–—]|\d{1,3}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of source `n`: `text == source_text[start:end]`. `columns`: names of a row's columns, if known."""

    n: int
    start: int
    end: int
    text: str
    is_row: bool = False
    columns: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The text as an answer shows it: of a row, each cell with its column's name."""
        if not self.is_row:
            return self.text
        cells = _cells(self.text)
        names = self.columns if len(self.columns) == len(cells) else ("",) * len(cells)
        told = (f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=True) if cell)
        return "; ".join(told)


class _Kind(Enum):
    PROSE = auto()
    ROW = auto()
    CODE = auto()


class _Run(NamedTuple):
    """Lines of one kind that follow one another: `text[start:end]`."""

    kind: _Kind
    start: int
    end: int


def quotes(text: str, *, heading: str) -> Iterator[Quote]:
    """The quotes in order, with 0 for their source. Sentences that only introduce code or a table are left out.

    Rows that were chunked apart from their table's head have the head as the last part of `heading`
    (documents/chunking.py).
    """
    for run, following in pairwise([*_runs(text), None]):
        if run and run.kind is _Kind.PROSE:
            for start, end in _sentences(text, run.start, run.end):
                leads = following and text[end - 1] == ":" and not text[end : run.end].strip()
                if not leads:
                    yield Quote(0, start, end, text[start:end])
        elif run and run.kind is _Kind.ROW:
            yield from _rows(text, run, head=heading.rsplit(" > ", 1)[-1])


def _runs(text: str) -> Iterator[_Run]:
    run: _Run | None = None
    for kind, start, end in _lines(text):
        if run and run.kind is not kind:
            yield run
            run = None
        run = _Run(kind, run.start if run else start, end)
    if run:
        yield run


def _lines(text: str) -> Iterator[tuple[_Kind, int, int]]:
    in_code = _begins_in_code(text)
    for line in _LINE.finditer(text):
        is_fence = _FENCE.match(text, *line.span()) is not None
        in_code ^= is_fence
        kind = _Kind.ROW if line[0].lstrip().startswith("|") else _Kind.PROSE
        yield _Kind.CODE if in_code or is_fence else kind, line.start(), line.end()


def _begins_in_code(text: str) -> bool:
    """Whether the passage begins in the middle of code, by its fences: a fence that names a language opens code."""
    closed = False
    for fence in _FENCE.finditer(text):
        if fence["language"]:
            break
        closed = not closed
    return closed


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans of sentences, without list marks; too long ones in parts."""
    for first, last in sentences.spans(text, start, end):
        mark = _LIST_MARK.match(text, first, last)
        begin = mark.end() if mark else first
        while last - begin > LONGEST_QUOTE:
            space = text.rfind(" ", begin + 1, begin + LONGEST_QUOTE)
            cut = space if space > 0 else begin + LONGEST_QUOTE
            yield begin, cut
            begin = cut + (space > 0)
        if begin < last:
            yield begin, last


def _rows(text: str, run: _Run, *, head: str) -> Iterator[Quote]:
    columns = tuple(_cells(head)) if "|" in head else ()
    for line, following in pairwise(chain(_LINE.finditer(text, run.start, run.end), [None])):
        if line is None or _RULE.fullmatch(line[0]):
            continue
        if following and _RULE.fullmatch(following[0]):
            columns = tuple(_cells(line[0]))
            continue
        first = line.end() - len(line[0].lstrip())
        yield Quote(0, first, first + len(line[0].strip()), line[0].strip(), is_row=True, columns=columns)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in _BAR.split(row.strip().removeprefix("|").removesuffix("|"))]
