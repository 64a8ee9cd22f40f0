"""Tables as text, one row a line: comma, semicolon, tab or bar between the values."""

import csv
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from typing import Final

from documents.formats import tables
from documents.formats.building import Builder
from documents.formats.decoding import check_size, checked, decode
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError

DELIMITERS: Final = ",;\t|"
SAMPLE_CHARACTERS: Final = 64 * 1024
SAMPLE_ROWS: Final = 100
_SEPARATOR_LINE: Final = "sep="  # which Excel writes and reads in a first line


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The table's rows as lines; `UnreadableError` when it is empty or over a limit."""
    check_size(path.stat().st_size, limits)
    return read(path.read_bytes(), limits)


def read(raw: bytes, limits: Limits) -> ParsedDocument:
    """As `parse`, of the file's bytes."""
    text = checked(decode(raw), limits)
    delimiter = named_delimiter(text)
    if delimiter:
        text = text.partition("\n")[2]
    builder = Builder(limits)
    csv.field_size_limit(max(limits.characters, 1))
    try:
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter or find_delimiter(text) or ",")
        rows = (tables.row_of(cells) for cells in reader)
        first = list(islice(rows, 2))
        headers = int(len(first) == 2 and tables.is_header(*first))
        # A file of values nearly always names its columns, unlike a table on a page: also one of two columns of words.
        builder.lines(tables.lines(chain(first, rows), header_rows=headers or None), Kind.TABLE)
    except csv.Error as error:
        raise UnreadableError(Failure.CORRUPT) from error
    return builder.finish()


def is_table(text: str) -> bool:
    """Whether the beginning of a file, in `text`, has rows of at least two columns."""
    return bool(named_delimiter(text) or find_delimiter(text))


def find_delimiter(text: str) -> str:
    """What stands between the values: the character that cuts most rows into as many columns, or nothing."""
    sample = text[:SAMPLE_CHARACTERS]
    if len(text) > SAMPLE_CHARACTERS:
        sample = sample.rpartition("\n")[0] or sample  # a row that was cut off has too few columns
    columns, best = max((_columns(sample, delimiter), delimiter) for delimiter in DELIMITERS)
    return best if columns > (0.0, 1) else ""


def named_delimiter(text: str) -> str:
    """The delimiter that the first line names as `sep=;`, or nothing."""
    line = text.partition("\n")[0].rstrip("\r").lower()
    return line[-1] if len(line) == 5 and line.startswith(_SEPARATOR_LINE) and line[-1] in DELIMITERS else ""


def _columns(sample: str, delimiter: str) -> tuple[float, int]:
    """The share of rows that have the commonest number of columns, and that number; nothing for one column."""
    try:
        reader = csv.reader(StringIO(sample, newline=""), delimiter=delimiter)
        counts = [len(row) for row in islice(reader, SAMPLE_ROWS) if row]
    except csv.Error:
        return 0.0, 1
    usual = max(set(counts), key=lambda count: (counts.count(count), count), default=1)
    if usual < 2 or 2 * counts.count(usual) < len(counts):
        return 0.0, 1
    return round(counts.count(usual) / len(counts), 1), usual
