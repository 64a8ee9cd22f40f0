"""Tables that a PDF writes column by column, put into rows. Many programs write each column to its end before the next.

A strand is what the file writes on its way down the page. A column of a table begins again at the top, right of the one
before, and its cells stand at the heights of that one's.
"""

from dataclasses import replace
from typing import Final

from documents.formats import pdf_tables
from documents.formats.pdf_cells import is_figure, is_prose
from documents.formats.pdf_columns import Line, Row

MATCHES: Final = 3  # heights that two columns have in common at least
SHARE: Final = 0.7  # of the cells of the later one
RAISED: Final = 0.6  # of the font size: what stands off its line by less belongs to it
SAME: Final = 0.3  # of the font size: baselines that differ less are one height


def level(rows: list[Row]) -> list[Row]:
    """`rows` with the columns of tables put side by side; the others untouched."""
    rows = _whole(rows)
    result: list[Row] = []
    start = place = 0  # where the strand begins that the next one is compared with
    while place < len(rows):
        end = _strand(rows, place)
        count, start = _taken(result, start, rows[place:end])
        result += rows[place + count : end]
        place = end
    return result


def _whole(rows: list[Row]) -> list[Row]:
    """The rows with those put together that PDFium broke at a wide gap or at a raised mark, which is put to its word."""
    result: list[Row] = []
    for row in rows:
        last = result[-1][-1] if result else None
        if last is None or last.table or row[0].table or not _is_beside(last, row[0]):
            result.append([])
        for cell in row:
            last = result[-1][-1] if result[-1] else None
            if last and _is_raised(last, cell):
                result[-1][-1] = replace(
                    last, text=f"{last.text} {cell.text}", right=max(last.right, cell.right)
                )
            else:
                result[-1].append(cell)
    return result


def _is_beside(left: Line, right: Line) -> bool:
    size = max(left.size, right.size, 1.0)
    level = abs(left.last_baseline - right.baseline) <= RAISED * size
    return level and left.right <= right.left + 0.3 * size


def _is_raised(left: Line, right: Line) -> bool:
    """Whether `right` is a footnote's number, or what goes on after one: hard on what stands left of it, and off its line or size."""
    size = max(left.size, right.size, 1.0)
    off = abs(left.last_baseline - right.baseline) > 0.1 * size or abs(left.size - right.size) > 0.1 * size
    return (
        (off or left.text[-1].isdigit()) and right.left - left.right < 0.4 * size and _is_beside(left, right)
    )


def _strand(rows: list[Row], begin: int) -> int:
    end = begin + 1
    while end < len(rows) and rows[end][0].baseline < rows[end - 1][0].baseline - 0.1:
        end += 1
    return end


def _taken(result: list[Row], start: int, strand: list[Row]) -> tuple[int, int]:
    """Put the beginning of `strand` into the rows of `result` from `start` on; how many were taken, and the new start."""
    pairs = _pairs(result[start:], strand)
    matched = [place for place in pairs if place is not None]
    if (
        len(matched) < MATCHES
        or len(matched) < SHARE * len(pairs)
        or not _are_cells(result[start:], strand, pairs)
    ):
        return 0, len(result)
    rows = result[start:]
    for row, place in zip(strand, pairs, strict=False):
        if place is None:
            rows.append(row)
        else:
            rows[place] = [*rows[place], *row]
    first, *_, last = matched
    if not pdf_tables.is_table(rows[first : last + 1]):
        return 0, len(result)
    result[start:] = sorted(rows, key=lambda row: -row[0].baseline)
    return len(pairs), start


def _pairs(rows: list[Row], strand: list[Row]) -> list[int | None]:
    """For each row at the strand's beginning that stands right of `rows`, which of them is at its height."""
    if not rows:
        return []
    lowest = rows[-1][0].baseline
    pairs: list[int | None] = []
    place = 0
    for row in strand:
        near = SAME * max(row[0].size, 1.0)
        if row[0].baseline < lowest - near:
            break
        while place < len(rows) and rows[place][0].baseline > row[0].baseline + near:
            place += 1
        found = place < len(rows) and abs(rows[place][0].baseline - row[0].baseline) <= near
        if found and (rows[place][-1].right > row[0].left or rows[place][0].table):
            return []
        pairs.append(place if found else None)
    return pairs


def _are_cells(rows: list[Row], strand: list[Row], pairs: list[int | None]) -> bool:
    """Whether one side at least is no running text; what stands beside running text must be figures."""
    before = [cell.text for place in pairs if place is not None for cell in rows[place]]
    added = [
        cell.text for row, place in zip(strand, pairs, strict=False) if place is not None for cell in row
    ]
    if is_prose(before):
        return sum(map(is_figure, added)) >= SHARE * len(added)
    return not is_prose(added) or len(before) == len(added)
