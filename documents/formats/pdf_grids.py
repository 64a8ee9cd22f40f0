"""Tables that are drawn: each word is in the cell of the grid that it stands in, wrapped lines and empty cells too."""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from documents.formats.pdf_cells import folded, is_figure
from documents.formats.pdf_columns import Line, Row
from documents.formats.pdf_rulings import Grid

FILLED: Final = 0.4  # of a grid's places
FIGURES: Final = 0.6  # of the cells, where none holds a word
_WORD: Final = re.compile(r"[^\W\d_]{3}")
LONGEST: Final = 800  # characters of a cell: grids with more lay out a page of prose

Slots = list[list[Line]]


def fold(rows: list[Row], grids: Sequence[Grid]) -> list[Row]:
    """`rows` with what stands in each grid made one line a row, where the grid's first word was."""
    for grid in grids:
        rows = _folded(rows, grid)
    return rows


def _folded(rows: list[Row], grid: Grid) -> list[Row]:
    inside = [[_is_inside(cell, grid) for cell in row] for row in rows]
    table = _table(
        [c for row, flags in zip(rows, inside, strict=True) for c, f in zip(row, flags, strict=True) if f],
        grid,
    )
    if table is None:
        return rows
    result: list[Row] = []
    placed = False
    for row, flags in zip(rows, inside, strict=True):
        if any(flags) and not placed:
            result += table
            placed = True
        rest = [cell for cell, flag in zip(row, flags, strict=True) if not flag]
        if rest:
            result.append(rest)
    return result


def _is_inside(cell: Line, grid: Grid) -> bool:
    middle = (cell.left + cell.right) / 2
    return (
        cell.table is None
        and grid.xs[0] < middle < grid.xs[-1]
        and grid.ys[0] < cell.baseline + 0.3 * cell.size < grid.ys[-1]
    )


def _table(cells: list[Line], grid: Grid) -> list[Row] | None:
    """The grid's rows as lines; None where its lines do not part rows from rows, or lay out prose."""
    slots: defaultdict[tuple[int, int], list[Line]] = defaultdict(list)
    for cell in cells:
        height = cell.baseline + 0.3 * cell.size
        column = bisect_right(grid.xs, (cell.left + min(cell.right, cell.left + cell.size)) / 2) - 1
        slots[len(grid.ys) - bisect_right(grid.ys, height), max(column, 0)].append(cell)
    for found in slots.values():
        found.sort(key=lambda cell: (-round(cell.baseline), cell.left))
        figures = [cell for cell in found if is_figure(cell.text)]
        if len(figures) > 1 or sum(len(cell.text) for cell in found) > LONGEST:
            return None
    numbers = sorted({row for row, _ in slots})
    width = len(grid.xs) - 1
    rows: list[Slots] = [[slots.get((row, column), []) for column in range(width)] for row in numbers]
    used = [column for column in range(width) if any(row[column] for row in rows)]
    if sum(sum(map(bool, row)) > 1 for row in rows) < 2 or not _says_something(cells, len(rows) * len(used)):
        return None
    edges = [(grid.xs[column], grid.xs[column + 1]) for column in used]
    return folded([[row[column] for column in used] for row in rows], edges)


def _says_something(cells: list[Line], places: int) -> bool:
    """Whether a grid holds what a table's would: not the letters at the lines of a drawing."""
    figures = sum(is_figure(cell.text) for cell in cells)
    worded = any(_WORD.search(cell.text) for cell in cells)
    return len(cells) >= FILLED * places and (worded or figures >= FIGURES * len(cells))
