"""Tables that no ruling shows: rows of cells that stand in columns. Each becomes one line of text a row.

Two things make cells of a table: several rows are cut by the same gaps, and what stands in a column is aligned.
Running text in columns is cut by gaps too; more than one column of it is therefore no table.
"""

import re
from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import Final

from documents.formats import pdf_columns
from documents.formats.pdf_cells import folded, is_figure, is_prose
from documents.formats.pdf_columns import Line, Row
from documents.formats.pdf_wrapping import WRAPPED, Column, Slots, unwrapped

ROWS: Final = 3  # with two cells or more: fewer are no table
APART: Final = 3.0  # of the font size: what rows of one table stand apart at most
LONE: Final = 3  # rows of one cell in a row: section headings and wrapped cells are no more
ALIGNED: Final = 0.5  # of a column's cells: how many have a common edge or middle at least
FILLED: Final = 0.5  # of the cells of the rows that have more than one, and of the first column's
FULL: Final = 0.6  # the same where the cells hold no figures
FIGURES: Final = 0.6  # of the cells that hold words at most, where the figures speak for a table
SHORT: Final = 3  # characters: the letters in a drawing or a formula, not what a table's cells say
NEAR: Final = 40  # rows on either side that a cell is compared with, which bounds the work
COLUMNS: Final = 60  # more are a drawing, and would cost a lot
LARGER: Final = 1.12  # times the table's font size: a heading between two tables
WIDE: Final = (
    45  # characters of a line over several columns that is running text and not a heading in the table
)
LEADING_ROWS: Final = 3  # that may stand above a table, cut by chance, tried one by one
_MARK: Final = re.compile(
    r"[^\w\s]{1,2}|[(\[]?(\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})(\.\d{1,3})*[.)\]:]+|o|\d{1,3}"
)
_FORMULA: Final = re.compile(r"[^\w\s(\[\"'$€£¥%#&*@<>\-]|.*\{z")
_LEADER: Final = re.compile(
    r"(\. ?){4}|\N{HORIZONTAL ELLIPSIS}{2}"
)  # of a table of contents, whose lines hold together
_SIGN: Final = {"$", "€", "£", "¥"}
_AFTER: Final = {")", "%", ")%"}


def fold(rows: list[Row]) -> list[Row]:
    """`rows` with those of each table made one line; the others untouched."""
    gutter = pdf_columns.gutter(rows)
    result: list[Row] = []
    place = 0
    while place < len(rows):
        end = _reach(rows, place)
        if end - place < ROWS:
            result.append(rows[place])
            place += 1
            continue
        for begin in range(place, min(place + LEADING_ROWS, end - ROWS + 1)):
            table = _table(rows[begin:end], gutter)
            if table:
                result += [*rows[place:begin], *table]
                break
        else:
            result += rows[place:end]
        place = end
    return result


def is_table(rows: list[Row]) -> bool:
    """Whether these rows, all of them, are those of a table."""
    return _table(rows, None) is not None


def _reach(rows: list[Row], begin: int) -> int:
    """Past the last row of what may be a table that begins at `begin`."""
    if len(rows[begin]) < 2:
        return begin
    end, last = begin + 1, rows[begin]
    for place in range(begin + 1, len(rows)):
        row = rows[place]
        pitch = rows[place - 1][0].last_baseline - row[0].baseline
        size = max(row[0].size, rows[place - 1][0].size, 1.0)
        if row[0].table or not 0 < pitch <= APART * size or place - end >= LONE:
            break
        if len(row) > 1:
            end, last = place + 1, row
        elif _is_running_text(row[0], last) or row[0].size > LARGER * max(cell.size for cell in last):
            break
    while end < len(rows) and _goes_on(rows[end - 1], rows[end], last):
        end += 1
    return end


def _is_running_text(line: Line, above: Row) -> bool:
    return len(line.text) >= WIDE and sum(_overlap(line, cell) for cell in above) > 1


def _goes_on(above: Row, row: Row, last: Row) -> bool:
    """Whether a row of one cell below a table's last row is the rest of a wrapped cell."""
    pitch = above[0].last_baseline - row[0].baseline
    if len(row) != 1 or row[0].table or not 0 < pitch <= 1.5 * row[0].size:
        return False
    over = [place for place, cell in enumerate(last) if _overlap(row[0], cell)]
    if len(over) != 1:
        return False
    return over[0] > 0 or (row[0].text[0].islower() and len(last[0].text) >= WRAPPED)


def _overlap(one: Line, other: Line) -> bool:
    return one.left < other.right and other.left < one.right


def _table(run: list[Row], gutter: float | None) -> list[Row] | None:
    """The run's rows as a table's; None if it is none."""
    rows = [_with_signs(row) for row in run]
    columns = _columns(rows)
    if not 2 <= len(columns) <= COLUMNS or _torn(rows, gutter):
        return None
    slots = [_placed(row, columns) for row in rows]
    if not _is_table(slots, columns):
        return None
    return folded(unwrapped(slots, columns), columns)


def _torn(rows: list[Row], gutter: float | None) -> bool:
    """Whether the page's columns run through what looks like a table: running text stands beside it."""
    if gutter is None:
        return False
    cells = [cell for row in rows for cell in row]
    sides = ([cell.text for cell in cells if (cell.left < gutter) is left] for left in (True, False))
    return any(is_prose(side) for side in sides)


def _with_signs(row: Row) -> Row:
    """The row with a currency sign or a closing bracket that stands apart put to its figure."""
    result: Row = []
    for cell in row:
        above = result[-1] if result else None
        if above and (above.text in _SIGN or cell.text in _AFTER):
            between = " " if above.text in _SIGN else ""
            text = above.text + between + cell.text
            result[-1] = Line(text, above.left, cell.right, above.baseline, cell.last_baseline, cell.size)
        else:
            result.append(cell)
    return result


def _columns(rows: list[Row]) -> list[Column]:
    """From where to where each column reaches, told by the cells that stand over no two others of a row."""
    lefts = [[cell.left for cell in row] for row in rows]
    reaches = sorted(
        (cell.left, cell.right)
        for place, row in enumerate(rows)
        for cell in row
        if not _spans(cell, place, rows, lefts)
    )
    columns: list[Column] = []
    for left, right in reaches:
        if columns and left < columns[-1][1]:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _spans(cell: Line, place: int, rows: list[Row], lefts: list[list[float]]) -> bool:
    for other in range(max(0, place - NEAR), min(len(rows), place + NEAR + 1)):
        row = rows[other]
        if other == place or len(row) < 2:
            continue
        beyond = bisect_left(lefts[other], cell.right)
        if beyond > 1 and row[beyond - 2].right > cell.left:
            return True
    return False


def _placed(row: Row, columns: list[Column]) -> Slots:
    slots: Slots = [[] for _ in columns]
    for cell in row:
        shared = [min(cell.right, right) - max(cell.left, left) for left, right in columns]
        over = [place for place, width in enumerate(shared) if width > 0]
        slots[over[0] if over else shared.index(max(shared))].append(cell)
    return slots


def _is_table(rows: list[Slots], columns: list[Column]) -> bool:
    filled = [row for row in rows if sum(map(bool, row)) > 1]
    if len(filled) < ROWS:
        return False
    texts = [[cell.text for row in rows for cell in row[place]] for place in range(len(columns))]
    if (
        sum(map(is_prose, texts)) > 1
        or (len(columns) == 2 and _is_list(filled))
        or not _is_full_enough(filled, texts)
    ):
        return False
    return all(_is_aligned([cell for row in rows for cell in row[place]]) for place in range(len(columns)))


def _is_full_enough(rows: list[Slots], texts: list[list[str]]) -> bool:
    """Whether most of the rows' cells hold something that a table's would, as those of a drawing or a formula do not."""
    cells = [bool(cell) for row in rows for cell in row]
    words = [text for column in texts for text in column if not is_figure(text)]
    if len(words) > FIGURES * sum(map(len, texts)):
        signs = sum(bool(_FORMULA.match(text)) for text in words)
        if signs > 0.25 * len(words) or median(map(len, words)) <= SHORT or sum(cells) < FULL * len(cells):
            return False
    return (
        sum(cells) >= FILLED * len(cells)
        and sum(bool(row[0]) for row in rows) >= FILLED * len(rows)
        and min(map(len, texts)) > 1
        and sum(bool(_LEADER.search(text)) for text in words) <= 0.25 * len(words)
    )


def _is_list(rows: list[Slots]) -> bool:
    """Whether what stands on the left only counts or marks what stands on the right."""
    marks = [" ".join(cell.text for cell in row[0]) for row in rows]
    if not all(_MARK.fullmatch(mark) for mark in marks):
        return False
    beside = [cell.text for row in rows for cell in row[1]]
    counted = [int(mark) for mark in marks if mark.isdigit()]
    counts = len(counted) == len(marks) and all(b - a == 1 for a, b in pairwise(counted))
    return not counted or (counts and not any(map(is_figure, beside)))


def _is_aligned(cells: list[Line]) -> bool:
    """Whether most of a column's cells have their left ends, right ends or middles at one place, or at two: indents."""
    if len(cells) < 2:
        return True
    step = max(1.0, 0.3 * median(cell.size for cell in cells))
    lefts = _share([cell.left for cell in cells], step, places=3)
    rights = _share([cell.right for cell in cells], step, places=2)
    middles = _share([(cell.left + cell.right) / 2 for cell in cells], step, places=1)
    return max(lefts, rights, middles) >= ALIGNED


def _share(positions: list[float], step: float, *, places: int) -> float:
    """How many of the positions stand at the `places` most usual ones, of 1."""
    ordered = sorted(positions)
    groups: Counter[int] = Counter()
    group = 0
    for before, position in zip([ordered[0], *ordered], ordered, strict=False):
        group += position - before > step
        groups[group] += 1
    usual = [count for _, count in groups.most_common(places) if count > 1]
    return sum(usual) / len(positions)
