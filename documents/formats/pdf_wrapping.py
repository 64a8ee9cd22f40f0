"""Cells of a table without rulings that go on in the next line, put together again."""

from collections.abc import Iterator
from typing import Final

from documents.formats.pdf_cells import is_figure
from documents.formats.pdf_columns import Line

WRAPPED: Final = 12  # characters that a line of a cell has at least when it is wrapped

Column = tuple[float, float]  # from where to where it reaches
Slots = list[list[Line]]  # for each column the lines in it


def unwrapped(rows: list[Slots], columns: list[Column]) -> list[Slots]:
    """The rows with the further lines of a wrapped cell in the row that it began in."""
    result: list[Slots] = []
    for row in rows:
        above = result[-1] if result else None
        if above is not None and (_is_rest(above, row, columns) or _is_begun(above, row, columns)):
            for place, cells in enumerate(row):
                above[place] += cells
        else:
            result.append([list(cells) for cells in row])
    return result


def _is_rest(above: Slots, row: Slots, columns: list[Column]) -> bool:
    """Whether each cell of a row goes on with the one above it, which had no room for its next word."""
    cells = [(place, cell) for place, found in enumerate(row) for cell in found]
    if _pitch(above, row) > 1.5 or any(is_figure(cell.text) for _, cell in cells):
        return False
    if row[0]:
        lone = len(cells) == 1 and bool(above[0])
        return lone and _is_wrapped(above[0][-1], row[0][0], columns)
    return all(
        above[place] and _is_full(above[place][-1], cell, columns[place], unnamed=not above[0])
        for place, cell in cells
    )


def _is_full(above: Line, cell: Line, column: Column, *, unnamed: bool) -> bool:
    word = cell.text.split()[0]
    width = (cell.right - cell.left) * len(word) / len(cell.text)
    fits = (above.right - above.left) + width + 0.25 * cell.size <= column[1] - column[0]
    return cell.text[0].islower() or (not fits and (unnamed or len(above.text) >= WRAPPED))


def _is_begun(above: Slots, row: Slots, columns: list[Column]) -> bool:
    """Whether the row above is only the first line of this row's label, which goes on in lower case."""
    lone = bool(above[0]) and not any(above[1:])
    return (
        lone and bool(row[0]) and _pitch(above, row) <= 1.5 and _is_wrapped(above[0][-1], row[0][0], columns)
    )


def _is_wrapped(above: Line, below: Line, columns: list[Column]) -> bool:
    inside = max(above.right, below.right) <= columns[1][0]
    return inside and below.text[0].islower() and len(above.text) >= WRAPPED


def _pitch(above: Slots, row: Slots) -> float:
    """How far a row stands below the last line of the one above, in font sizes."""
    lowest = min(line.last_baseline for line in _lines(above))
    return (lowest - max(line.baseline for line in _lines(row))) / max(next(_lines(row)).size, 1.0)


def _lines(row: Slots) -> Iterator[Line]:
    return (line for cells in row for line in cells)
