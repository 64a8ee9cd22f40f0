"""Columns that a PDF writes row by row, put into the order in which people read them.

Most PDFs write a column to its end before the next and need nothing of this. A table also has gaps between its
cells and must stay in rows: what stands left and right of the gap has to read like prose before anything is moved.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

HYPHEN: Final = "\ufffe"  # PDFium's mark for a hyphen at a line's end, where it leaves out the line end
ROWS: Final = 6  # fewer rows side by side are no columns
SHARE: Final = 0.5  # of the page's rows that must be parted by the same gap
PROSE_CHARACTERS: Final = 20  # that the usual line on either side has at least
PROSE_WORDS: Final = 3


@dataclass(slots=True, eq=False)
class Table:
    """What the rows of one table share: from where to where each column reaches, and the row that names them, if any."""

    columns: list[tuple[float, float]]
    header: str = ""


@dataclass(slots=True)
class Line:
    """A line of text or a part of one: its reach along the line, the baselines of its first and last character, its font
    size, all in points and turned so that text runs to the right and lines go down. A row of a `table` is one line.
    """

    text: str
    left: float = 0.0
    right: float = 0.0
    baseline: float = 0.0
    last_baseline: float = 0.0
    size: float = 0.0
    table: Table | None = field(default=None, compare=False)


Row = list[Line]  # what stands at one height, from left to right


def unfold(rows: list[Row]) -> list[Row]:
    """The same cells with columns one after the other; a line across the page ends the columns above it."""
    place = gutter(rows)
    if place is None:
        return rows
    result: list[Row] = []
    run: list[Row] = []
    for row in rows:
        if any(cell.left < place < cell.right for cell in row):
            result += [*_sides(run, place), row]
            run = []
        else:
            run.append(row)
    return result + _sides(run, place)


def _sides(run: list[Row], place: float) -> list[Row]:
    """What stands left of the gutter and then what stands right of it, each of which may hold columns again."""
    if not run:
        return []
    left = [[cell for cell in row if cell.right <= place] for row in run]
    right = [[cell for cell in row if cell.right > place] for row in run]
    return [row for side in (left, right) for row in unfold(joined([row for row in side if row]))]


def gutter(rows: list[Row]) -> float | None:
    """Where the gap runs that parts most rows into prose on both sides; None when there is none."""
    gaps = [(left.right, right.left) for row in rows for left, right in pairwise(row)]
    if len(gaps) < max(ROWS, SHARE * len(rows)):
        return None
    place = median((left + right) / 2 for left, right in gaps)
    parted = [row for row in rows if _parted(row, place)]
    if len(parted) < max(ROWS, SHARE * len(rows)):
        return None
    for side in (-1, 1):
        texts = [" ".join(cell.text for cell in row if (cell.left - place) * side > 0) for row in parted]
        usual = median(len(text) for text in texts)
        words = median(len(text.split()) for text in texts)
        if usual < PROSE_CHARACTERS or words < PROSE_WORDS:
            return None
    return place


def _parted(row: Row, place: float) -> bool:
    return row[0].right <= place <= row[-1].left and not any(cell.left < place < cell.right for cell in row)


def joined(rows: list[Row]) -> list[Row]:
    """Rows of one column, with a word that is broken at a line's end marked as PDFium marks it elsewhere."""
    result: list[Row] = []
    for row in rows:
        above = result[-1][-1] if result else None
        if above and above.text[-1] == "-" and above.text[-2:-1].isalpha() and row[0].text[0].islower():
            above.text = f"{above.text[:-1]}{HYPHEN}{row[0].text}"
            above.last_baseline = row[0].last_baseline
            row = row[1:]  # noqa: PLW2901 - the rest of the row, which is empty in prose
        if row:
            result.append(row)
    return result
