"""Reads an evaluation set from CSV. Pure: the caller gives a function that finds documents."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ragsite.lib.errors import FieldError, Invalid

COLUMNS: Final = ("question", "document", "page", "answer")
MAX_BYTES: Final = 2 * 1024 * 1024
MAX_QUESTIONS: Final = 2_000
MAX_EXPECTED: Final = 100  # documents of a question, because each line is compared with all before it
MAX_TEXT: Final = 4_000  # characters of a question, as when it is asked, and of an answer
MAX_PAGE: Final = 1_000_000
MOST_ERRORS: Final = 50
_ON_LINE: Final = "line"

Expected = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """A question that is to be stored as an `EvaluationQuestion`."""

    question: str
    expected: list[Expected] = field(default_factory=list)
    answer: str = ""


Find = Callable[[str], Expected | None]
"""Finds a document by its id or file name, as an item of `expected`; None where there is no such document."""


def drafts(content: bytes, find: Find) -> list[Draft]:
    """The questions in order. Lines with the same question are one question that expects all their documents.

    Raises Invalid with an error for each wrong line.
    """
    rows = _rows(_text(content))
    found: dict[str, Draft] = {}
    errors: list[FieldError] = []
    for line, row in rows:
        try:
            _take(row, found, find)
        except ValueError as error:
            errors.append(FieldError(f"file.{line}", _ON_LINE, f"Line {line}: {error}"))
        if len(errors) == MOST_ERRORS:
            break
    if not errors and not found:
        errors.append(FieldError("file", "empty", "The file has no questions."))
    if errors:
        raise Invalid("Some lines are wrong.", fields=errors)
    return list(found.values())


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _wrong(f"The file may have {MAX_BYTES} bytes.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong("The file is not in UTF-8.") from error
    if "\0" in text:
        raise _wrong("The file has characters that cannot be stored.")
    return text


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line's number, from 1, and its cells by column."""
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)  # spreadsheets write different ones in different countries
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().casefold() for name in next(reader, [])]
        _check_columns(names)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, _named(names, cells)
    except csv.Error as error:
        field = FieldError(f"file.{reader.line_num}", _ON_LINE, f"Line {reader.line_num}: {error}")
        raise Invalid("The file is no CSV.", fields=[field]) from error


def _check_columns(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if "question" not in names or unknown or len(set(names)) < len(names):
        raise _wrong(f"The first line names the columns: question, and any of {', '.join(COLUMNS[1:])}.")


def _named(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """The cells by column. Missing cells at the end are empty; the first surplus cell is under the name ""."""
    padded = [*cells, *[""] * (len(names) - len(cells))]
    row = dict(zip(names, (cell.strip() for cell in padded), strict=False))
    return row if len(cells) <= len(names) else {**row, "": cells[len(names)]}


def _take(row: dict[str, str], found: dict[str, Draft], find: Find) -> None:
    """Adds a row to the drafts. Raises ValueError with what is wrong."""
    question, answer = row["question"], row.get("answer", "")
    if "" in row:
        raise ValueError("there are more cells than columns.")
    if not question:
        raise ValueError("the question is missing.")
    if max(len(question), len(answer)) > MAX_TEXT:
        raise ValueError(f"a question or answer may have {MAX_TEXT} characters.")
    if question not in found and len(found) == MAX_QUESTIONS:
        raise ValueError(f"a set may have {MAX_QUESTIONS} questions.")
    expected = _expected(row.get("document", ""), row.get("page", ""), find)
    draft = found.setdefault(question, Draft(question))
    if expected and expected not in draft.expected:
        if len(draft.expected) == MAX_EXPECTED:
            raise ValueError(f"a question may expect {MAX_EXPECTED} documents and pages.")
        draft.expected.append(expected)
    draft.answer = draft.answer or answer


def _expected(document: str, page: str, find: Find) -> Expected | None:
    if not document:
        if page:
            raise ValueError("a page needs a document.")
        return None
    found = find(document)
    if found is None:
        raise ValueError(f"there is no document {document[:100]!r}.")
    if not page:
        return {**found, "page": None}
    number = int(page) if page.isascii() and page.isdecimal() and len(page) < 8 else 0
    if not 1 <= number <= MAX_PAGE:
        raise ValueError("the page is no number from 1.")
    return {**found, "page": number}


def _wrong(detail: str) -> Invalid:
    return Invalid("The file cannot be read.", fields=[FieldError("file", "csv", detail)])
