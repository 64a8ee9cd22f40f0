"""Tables as lines of text: each row is a line, and in it each cell stands with its column's header.

`| Quarter: Q1 | Revenue: 4.2 |` and not bare rows under a header line: a chunk may begin at any row, and what is quoted
from it must say by itself which figure is which. The outer bars make each row a sentence (see `documents.sentences`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

MOST_COLUMNS: Final = 16_384  # Excel's own limit
MOST_HEADER_ROWS: Final = 5
GUESSED_HEADER_CHARACTERS: Final = 80  # a longer cell is a sentence, which heads no column
SAMPLE_ROWS: Final = 8  # what a guess looks at
# All of it is bounded by the length that is looked at, so there is little to backtrack over.
_FIGURE: Final = re.compile(r"[^\w]*\d[\d\s.,:/%+\-'()]*[^\w\s]*(?: ?[A-Za-z]{1,3})?")
_YEAR: Final = re.compile(r"(?:19|20)\d\d")

Row = Mapping[int, str]  # a row's cells that are not empty by their column from 0; each on one line


class Spanned(str):
    """The further columns of a cell that spans several: it heads them all, and is said once."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table with merged cells: `text` None is what stands above it, `span` how many columns it takes."""

    text: str | None
    span: int = 1


def row_of(cells: Sequence[str]) -> dict[int, str]:
    """`cells` as a row, each on one line and the empty ones left out."""
    return {column: line for column, cell in enumerate(cells) if (line := " ".join(cell.split()))}


def merged(rows: Iterable[Sequence[Cell]]) -> Iterator[Row]:
    """The rows of a table with merged cells: what spans rows stands in each of them."""
    above: dict[int, str] = {}
    for number, cells in enumerate(rows):
        row: dict[int, str] = {}
        column = 0
        for cell in cells:
            text = above.get(column, "") if cell.text is None else " ".join(cell.text.split())
            if text and column < MOST_COLUMNS:
                row[column] = str(text)
                if number < SAMPLE_ROWS:  # only headers need the other columns
                    beyond = min(column + cell.span, MOST_COLUMNS)
                    row.update(dict.fromkeys(range(column + 1, beyond), Spanned(text)))
            column += cell.span
        yield row
        above = row


def lines(rows: Iterable[Row], *, header_rows: int | None = None) -> Iterator[str]:
    """A line for every row that is not empty, lazily; the header's rows come first, as they are.

    `header_rows`: how many rows are headers; None when only their look can tell. A row with one cell above the
    headers is a caption.
    """
    rest = iter(rows)
    if header_rows is None:
        sample = list(islice(rest, SAMPLE_ROWS))
        captions = _captions(sample)
        yield from map(bare, filter(None, sample[:captions]))
        header_rows = guess_header_rows(sample[captions:])
        rest = chain(sample[captions:], rest)
    labels: dict[int, str] = {}
    for number, row in enumerate(rest):
        heads = number < min(header_rows, MOST_HEADER_ROWS)
        if row:
            yield bare(row) if heads else labelled(row, labels)
        if heads:
            _add_labels(labels, row)


def bare(row: Row) -> str:
    """The row without headers."""
    return labelled(row, {})


def labelled(row: Row, labels: Row) -> str:
    """The row's cells with their headers, where they have one."""
    cells = (
        f"{labels[column]}: {cell}" if column in labels else cell
        for column, cell in sorted(row.items())
        if not isinstance(cell, Spanned)
    )
    return f"| {' | '.join(cells)} |"


def guess_header_rows(sample: Sequence[Row]) -> int:
    """How many of a table's first rows look like headers. Two columns of words are names and their values, as in
    "Seat | Oslo", unless the second holds figures only."""
    if len(sample) < 2 or not is_header(sample[0], sample[1]):
        return 0
    first = sample[0]
    if any(isinstance(cell, Spanned) for cell in first.values()):
        return 2 if len(sample) > 2 and not any(map(is_figure, sample[1].values())) else 1
    if len(first) > 2:
        return 1
    last = max(first)
    return int(len(sample) > 2 and all(is_figure(row[last]) for row in sample[1:] if last in row))


def is_header(first: Row, second: Row) -> bool:
    """Whether `first` looks like headers over `second`: short, different words and no figure, in most columns."""
    names = [cell for cell in first.values() if not isinstance(cell, Spanned)]
    if len(names) < 2 or len(set(names)) < len(names):
        return False
    if any(len(name) > GUESSED_HEADER_CHARACTERS for name in names):
        return False
    if any(is_figure(name) and not _heads_as_year(first, second, column) for column, name in first.items()):
        return False
    return 2 * len(first.keys() & second.keys()) >= len(second)


def is_figure(text: str) -> bool:
    """Whether a cell is a number, an amount, a share, a date or a time; "Q1" and "FY 2024" are words."""
    return len(text) <= GUESSED_HEADER_CHARACTERS and _FIGURE.fullmatch(text) is not None


def _captions(sample: Sequence[Row]) -> int:
    """How many rows before the headers hold one cell, or none."""
    wide = (number for number, row in enumerate(sample) if len(_said(row)) > 1)
    return next(wide, 0)


def _said(row: Row) -> list[str]:
    return [cell for cell in row.values() if not isinstance(cell, Spanned)]


def _heads_as_year(first: Row, second: Row, column: int) -> bool:
    """Years head columns as words do, unless years stand below them too."""
    below = second.get(column, "")
    return _YEAR.fullmatch(first[column]) is not None and not _YEAR.fullmatch(below)


def _add_labels(labels: dict[int, str], row: Row) -> None:
    """A second header row stands behind the first: "2024 Revenue". One that is repeated below itself counts once."""
    for column, cell in row.items():
        label, above = cell.rstrip(" :"), labels.get(column)
        if label:
            labels[column] = label if above is None or above == label else f"{above} {label}"
