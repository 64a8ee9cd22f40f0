"""A table of HTML while it is read, and the rows that it makes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from documents.formats import tables
from documents.formats.building import whole

# HTML's own limits (WHATWG, 4.9.11).
_MOST_COLUMNS: Final = 1_000
_MOST_ROWS: Final = 65_534


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    columns: int
    rows: int
    heads: bool


@dataclass(slots=True)
class HtmlTable:
    """Collects cells in the order in which they stand in the page."""

    _rows: list[list[_Cell]] = field(default_factory=list)

    def begin_row(self) -> None:
        self._rows.append([])

    def add(self, node: Any, text: str) -> None:
        """The cell `node`, which shows `text`."""
        if not self._rows:
            self.begin_row()
        columns = whole_attribute(node, "colspan", 1)
        rows = whole_attribute(node, "rowspan", 1)
        cell = _Cell(
            text, min(max(columns, 1), _MOST_COLUMNS), min(max(rows, 1), _MOST_ROWS), node.tag == "th"
        )
        self._rows[-1].append(cell)

    def lines(self) -> Iterator[str]:
        """The table as `documents.formats.tables` writes it; the first rows of th alone are its headers."""
        heads = 0
        while heads < len(self._rows) and all(cell.heads for cell in self._rows[heads]):
            heads += 1
        return tables.lines(tables.merged(self._grid()), header_rows=heads or None)

    def _grid(self) -> Iterator[list[tables.Cell]]:
        """The rows with the cells put in that span them from above."""
        above: dict[int, tuple[int, int]] = {}  # by column: how many more rows, and how many columns
        for row in self._rows:
            cells: list[tables.Cell] = []
            below: dict[int, tuple[int, int]] = {}
            column = _continue(cells, above, below, 0)
            for cell in row:
                cells.append(tables.Cell(cell.text, cell.columns))
                if cell.rows > 1 and column < _MOST_COLUMNS:
                    below[column] = (cell.rows - 1, cell.columns)
                column = _continue(cells, above, below, column + cell.columns)
            for at in sorted(above):
                if at >= column:
                    cells.append(tables.Cell("", at - column))
                    column = _continue(cells, above, below, at)
            yield cells
            above = below


def _continue(
    cells: list[tables.Cell],
    above: dict[int, tuple[int, int]],
    below: dict[int, tuple[int, int]],
    column: int,
) -> int:
    """Put in what spans from above at `column`; returns the first column that is free."""
    while column in above:
        rows, columns = above.pop(column)
        cells.append(tables.Cell(None, columns))
        if rows > 1 and column < _MOST_COLUMNS:
            below[column] = (rows - 1, columns)
        column += columns
    return column


def whole_attribute(node: Any, name: str, otherwise: int) -> int:
    """The attribute of this name as a whole number; white space around it does not count."""
    return whole((node.attributes.get(name) or "").strip(), otherwise)
