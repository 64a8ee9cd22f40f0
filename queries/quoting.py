"""What of a passage can be quoted in an answer: sentences of prose, and rows of tables. Pure, linear in the text.

Code is not quoted: on one line, or half of it, it would be of no use to anybody.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby
from typing import Final

from documents import sentences

# Text without a full stop for longer than this is quoted in part.
LONGEST_QUOTE: Final = 400

_LINE = re.compile(r"[^\n]+")
_FENCE = re.compile(r"[ \t]{0,3}(?:```|~~~)[`~]*[ \t]*(?P<language>[^\s`]?)")
_RULE = re.compile(r"[\s|:-]*-[\s|:-]*")  # what parts a table's head from its rows
_BAR = re.compile(r"(?<!\\)\|")
_LIST_MARK = re.compile(r"(?:[-*+•‣◦–—]|\d{1,3}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of source `n`, verbatim: `text == source_text[start:end]`. A row of a table knows its columns' names, where
    they are told."""

    n: int
    start: int
    end: int
    text: str
    is_row: bool = False
    columns: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """As an answer has it: a row's cells, each with its column's name."""
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


@dataclass(frozen=True, slots=True)
class _Line:
    kind: _Kind
    start: int
    end: int


def quotes(text: str, *, heading: str) -> Iterator[Quote]:
    """In their order, each a quote of source 0, but for sentences that lead to code or to a table.

    Rows that stand apart from their table's head have it as the last part of the heading (documents/chunking.py).
    """
    runs = [(kind, list(lines)) for kind, lines in groupby(_lines(text), key=lambda line: line.kind)]
    for number, (kind, lines) in enumerate(runs, start=1):
        if kind is _Kind.PROSE:
            for start, end in _sentences(text, lines[0].start, lines[-1].end):
                leads = number < len(runs) and text[end - 1] == ":" and not text[end : lines[-1].end].strip()
                if not leads:
                    yield Quote(0, start, end, text[start:end])
        elif kind is _Kind.ROW:
            yield from _rows(text, lines, head=heading.rsplit(" > ", 1)[-1])


def _lines(text: str) -> Iterator[_Line]:
    lines = [(match, _FENCE.match(match[0])) for match in _LINE.finditer(text)]
    in_code = _begins_in_code([fence for _, fence in lines if fence])
    for match, fence in lines:
        in_code ^= fence is not None
        kind = _Kind.ROW if match[0].lstrip().startswith("|") else _Kind.PROSE
        yield _Line(_Kind.CODE if in_code or fence else kind, match.start(), match.end())


def _begins_in_code(fences: Sequence[re.Match[str]]) -> bool:
    """Whether a passage was cut out of the middle of code: a fence that names a language opens, and a lone one closes."""
    opens = next((number for number, fence in enumerate(fences) if fence["language"]), len(fences))
    return opens % 2 == 1


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Without the marks of a list, and in parts where they are too long."""
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


def _rows(text: str, lines: Sequence[_Line], *, head: str) -> Iterator[Quote]:
    columns = tuple(_cells(head)) if "|" in head else ()
    rows = [text[line.start : line.end] for line in lines]
    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        if number + 1 < len(rows) and _RULE.fullmatch(rows[number + 1]):
            columns = tuple(_cells(row))
        elif not _RULE.fullmatch(row):
            first = line.start + len(row) - len(row.lstrip())
            yield Quote(0, first, first + len(row.strip()), row.strip(), is_row=True, columns=columns)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in _BAR.split(row.strip().removeprefix("|").removesuffix("|"))]
