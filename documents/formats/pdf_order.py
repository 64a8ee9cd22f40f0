"""The order in which people read what stands on a page, wherever its words come from."""

from typing import Final

from documents.formats import pdf_columns, pdf_strands, pdf_tables
from documents.formats.pdf_columns import Line, Row

SAME_HEIGHT: Final = 0.6  # of the font size: baselines that differ less belong to one line


def in_order(rows: list[Row]) -> list[Line]:
    """The page's lines as people read them: tables in rows, columns of prose one after the other."""
    folded = _with_tables(rows)
    unfolded = pdf_columns.unfold(folded)
    lines: list[Line] = []
    for row in unfolded if unfolded is folded else _with_tables(unfolded):
        for cell in row:
            _add(lines, cell)
    return lines


def _with_tables(rows: list[Row]) -> list[Row]:
    """The rows with the tables that no grid shows; the very same where there are none, for a formula has raised marks too."""
    folded = pdf_tables.fold(pdf_strands.level(rows))
    found = {id(line.table) for row in folded for line in row} - {
        id(line.table) for row in rows for line in row
    }
    return folded if found else rows


def _add(lines: list[Line], line: Line) -> None:
    """Append `line`, or join it to the one before when it stands at its height, as a superscript and what follows it do."""
    above = lines[-1] if lines else None
    apart = above is None or above.table or line.table
    if (
        above is None
        or apart
        or abs(above.last_baseline - line.baseline) > SAME_HEIGHT * max(above.size, line.size)
    ):
        lines.append(line)
        return
    above.text += " " + line.text
    if line.size >= above.size:
        above.size, above.last_baseline = line.size, line.last_baseline
