"""What the two ways to find a table share: what a cell says, and a row as one line of text."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from documents.formats.pdf_columns import HYPHEN, PROSE_CHARACTERS, PROSE_WORDS, Line, Row, Table

BETWEEN: Final = " | "
MARGIN_LINES: Final = 2  # of the page's head or foot, between the parts of a table that goes on
NEAR: Final = 6.0  # points between the same columns of two pages
_YEAR: Final = re.compile(r"(19|20)\d\d\*?")
_FIGURE: Final = re.compile(
    r"[-+\N{MINUS SIGN}\N{EN DASH}]?\(?\s?[$€£¥]?\s?[-+\N{MINUS SIGN}\N{EN DASH}]?\(?\d[\d.,'\s]*\s?[%‰$€£¥]?\s?\)?\s?[%*]?|[-\N{EN DASH}\N{EM DASH}]+|n/?a",
    re.IGNORECASE,
)

Cells = Sequence[Sequence[Line]]  # of one table row: for each column the lines of text in it, from the top


def is_figure(text: str) -> bool:
    """Whether a cell holds a number, or what stands for none; a year is a name."""
    return bool(_FIGURE.fullmatch(text)) and not _YEAR.fullmatch(text)


def is_prose(texts: Iterable[str]) -> bool:
    """Whether lines read like running text rather than like what stands in cells."""
    found = list(texts)
    if not found:
        return False
    usual, words = median(map(len, found)), median(len(text.split()) for text in found)
    return usual >= PROSE_CHARACTERS and words >= PROSE_WORDS


def joined(lines: Iterable[Line]) -> str:
    """The text of one cell; a word that is broken at a line's end keeps PDFium's mark, which is mended later."""
    text = ""
    for line in lines:
        between = "" if not text or text.endswith(HYPHEN) else " "
        text += between + line.text
    return text


def folded(rows: Sequence[Cells], columns: list[tuple[float, float]]) -> list[Row]:
    """A table's rows as lines of text: each cell beside the others of its row, an empty one as nothing between its bars."""
    table = Table(columns, _header(rows))
    result: list[Row] = []
    for row in rows:
        lines = [line for cell in row for line in cell]
        result.append(
            [
                Line(
                    text(row),
                    columns[0][0],
                    columns[-1][1],
                    max(line.baseline for line in lines),
                    min(line.last_baseline for line in lines),
                    max(line.size for line in lines),
                    table,
                )
            ]
        )
    return result


def text(row: Cells) -> str:
    cells = [joined(cell) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    # "| 2023" and not " | 2023", "a | | b" and not "a |  | b".
    return re.sub(r"\s+", " ", BETWEEN.join(cells)).strip()


def _header(rows: Sequence[Cells]) -> str:
    """The first row, if it names the columns: none of its cells is a figure, and figures or a fuller row follow."""
    first = [joined(cell) for cell in rows[0]]
    beside = [cell for cell in first[1:] if cell]
    named = bool(beside) and not any(map(is_figure, beside)) and len(rows) > 1
    return text(rows[0]) if named else ""


def name_continued(pages: Sequence[Sequence[Line]]) -> None:
    """Give a table that goes on from the page before the header that it has there."""
    for before, after in pairwise(pages):
        last = next((line.table for line in before[: -MARGIN_LINES - 2 : -1] if line.table), None)
        first = next((line.table for line in after[: MARGIN_LINES + 1] if line.table), None)
        if last and first and not first.header and _are_alike(last.columns, first.columns):
            first.header = last.header


def _are_alike(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> bool:
    near = [abs(a[0] - b[0]) < NEAR or abs(a[1] - b[1]) < NEAR for a, b in zip(one, other, strict=False)]
    return len(one) == len(other) and all(near)
