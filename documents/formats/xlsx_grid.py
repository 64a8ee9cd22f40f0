"""The rows of a worksheet's cells: which are shown, and what merged cells mean for those beside and below them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from documents.formats.building import whole
from documents.formats.packages import attribute, elements, local
from documents.formats.tables import MOST_COLUMNS, Spanned

MOST_SPREAD: Final = 100  # columns that one header is repeated over
_ON: Final = {"1", "true"}
_DIGITS: Final = "0123456789"
_MERGE: Final = re.compile(rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})"')


@dataclass(slots=True)
class _Merge:
    """A merged range, columns from 0; its `text` is known once its first row was read."""

    first_row: int
    last_row: int
    first: int
    last: int
    text: str = ""


@dataclass(slots=True)
class Merges:
    """The merged ranges of a sheet, for its rows in order."""

    waiting: list[_Merge] = field(default_factory=list)  # by first row, the next one last
    active: list[_Merge] = field(default_factory=list)

    @classmethod
    def of(cls, raw: bytes) -> "Merges":
        """Those of a sheet's part. They stand behind the cells, which are read as they come: hence this look ahead."""
        found = [
            _Merge(int(top), int(bottom), column_of(left.decode()), column_of(right.decode()))
            for left, top, right, bottom in _MERGE.findall(raw, raw.rfind(b"sheetData>"))
        ]
        return cls(waiting=sorted(found, key=lambda merge: -merge.first_row))

    def apply(self, number: int, row: dict[int, str]) -> None:
        """Repeat in row `number` what spans rows, and mark what spans columns."""
        self.active = [merge for merge in self.active if number <= merge.last_row]
        for merge in self.active:
            row.setdefault(merge.first, merge.text)
        while self.waiting and self.waiting[-1].first_row <= number:
            merge = self.waiting.pop()
            merge.text = row.get(merge.first, "") if merge.first_row == number else ""
            if not merge.text:
                continue
            if merge.last_row > number:
                self.active.append(merge)
            beyond = min(merge.last, merge.first + MOST_SPREAD) + 1
            row.update(dict.fromkeys(range(merge.first + 1, beyond), Spanned(merge.text)))


def rows(raw: bytes) -> Iterator[tuple[int, int, list[tuple[int, Any]]]]:
    """Each shown row's number from 1, its number among the shown ones, and its shown cells by their column from 0."""
    hidden: set[int] = set()
    filtered, number, left_out = False, 0, 0
    for element in elements(raw, "sheetPr", "col", "row"):
        name = local(element)
        if name == "sheetPr":
            filtered = element.get("filterMode") in _ON
        elif name == "col":
            hidden |= _hidden_columns(element)
        else:
            number = whole(element.get("r"), number + 1, digits=8)
            folded = filtered or element.get("outlineLevel", "0") != "0"
            if folded or element.get("hidden") not in _ON:
                shown = [(column, cell) for column, cell in _cells(element) if column not in hidden]
                yield number, number - left_out, shown
            else:
                left_out += 1


def column_of(letters: str) -> int:
    """A column's place from 0: A is 0, AB is 27."""
    place = 0
    for letter in letters[:4]:
        place = 26 * place + ord(letter) - 64
    return place - 1


_places: dict[str, int] = {}  # column_of is asked for every cell, and there are few columns


def _cells(row: Any) -> Iterator[tuple[int, Any]]:
    column = -1
    for cell in row:
        reference = cell.get("r")
        if reference is None:
            column += 1
        else:
            letters = reference.rstrip(_DIGITS)
            if letters not in _places and len(_places) < MOST_COLUMNS:
                _places[letters] = column_of(letters)
            column = _places.get(letters, -1)
        if 0 <= column < MOST_COLUMNS:
            yield column, cell


def _hidden_columns(element: Any) -> set[int]:
    if element.get("hidden") not in _ON or element.get("outlineLevel", "0") != "0":
        return set()
    bounds = [attribute(element, name) for name in ("min", "max")]
    if not all(bound.isdecimal() and len(bound) < 6 for bound in bounds):
        return set()
    return set(range(int(bounds[0]) - 1, min(int(bounds[1]), MOST_COLUMNS)))
