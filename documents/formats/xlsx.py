"""Excel workbooks (SpreadsheetML, ECMA-376 part 1, chapter 18): each visible sheet is a page under its name.

A cell reads as it is shown: dates, shares and amounts in their number format, formulas by the value that was stored
with them. Left out: hidden sheets, rows and columns, but for rows that a filter hides or an outline folds away (which
belong to the table); comments; charts, which draw what stands in cells.
"""

import math
from collections.abc import Iterator
from itertools import chain, groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from documents.formats import tables, xlsx_grid, xlsx_numbers
from documents.formats.building import Builder, one_line, whole
from documents.formats.packages import Package, attribute, elements, local
from documents.structure import Kind, Limits, ParsedDocument

_ON: Final = {"1", "true"}
_CACHED: Final = 100_000  # cells as shown that are remembered: columns repeat their values
_NUMBERS: Final = {"n", ""}


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The workbook with a page a sheet; `UnreadableError` when it is damaged, locked, empty or over a limit."""
    return read(path.read_bytes(), limits)


def read(raw: bytes, limits: Limits) -> ParsedDocument:
    """As `parse`, of the file's bytes."""
    package = Package(raw, limits)
    builder = Builder(limits)
    workbook = _Workbook(package)
    for name, part in workbook.sheets():
        builder.page(name)
        for rows in _tables(workbook.rows(package.read(part))):
            builder.lines(tables.lines(rows), Kind.TABLE)
        _text_boxes(package, part, builder)
    return builder.finish(package.title())


class _Workbook:
    """What the sheets share: strings, number formats, and where days are counted from."""

    def __init__(self, package: Package) -> None:
        main = package.main_part()
        self._root = package.xml(main)
        self._relations = package.relations(main)
        properties = self._root.find("{*}workbookPr")
        self._since_1904 = properties is not None and properties.get("date1904") in _ON
        self._formats = _formats(package.xml_or_none(package.related(main, "styles")))
        strings = package.related(main, "sharedStrings")
        self._strings = [_rich(item) for item in elements(package.read(strings), "si")] if strings else []
        self._shown: dict[tuple[str, str], str] = {}

    def sheets(self) -> Iterator[tuple[str, str]]:
        """The name and the part of each visible sheet, in order."""
        for sheet in self._root.iterfind("{*}sheets/{*}sheet"):
            relation = self._relations.get(attribute(sheet, "id"))
            visible = sheet.get("state", "visible") == "visible"
            if visible and relation is not None and relation.kind == "worksheet":
                yield sheet.get("name") or "", relation.target

    def rows(self, raw: bytes) -> Iterator[tuple[int, tables.Row]]:
        """The rows of a sheet's part that are not empty, with their numbers among the rows that are shown."""
        merges = xlsx_grid.Merges.of(raw)
        for number, place, cells in xlsx_grid.rows(raw):
            row = {column: text for column, cell in cells if (text := self._text(cell))}
            merges.apply(number, row)
            if row:
                yield place, row

    def _text(self, cell: Any) -> str:
        """A cell as it is shown, on one line."""
        kind, value = cell.get("t") or "", ""
        for child in cell:
            name = local(child)
            if name == "v":
                value = child.text or ""
            elif name == "is":
                return _rich(child)
        if kind == "s":
            place = whole(value, len(self._strings), digits=8)
            return self._strings[place] if place < len(self._strings) else ""
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        return self._number(value, cell.get("s") or "0") if kind in _NUMBERS else one_line(value)

    def _number(self, value: str, style: str) -> str:
        known = self._shown.get((value, style))
        if known is None:
            known = self._formatted(value, style)
            if len(self._shown) < _CACHED:
                self._shown[value, style] = known
        return known

    def _formatted(self, value: str, style: str) -> str:
        try:
            number = float(value)
        except ValueError:
            return one_line(value)
        if not math.isfinite(number):
            return one_line(value)
        place = whole(style, 0)
        code = self._formats[place] if place < len(self._formats) else "General"
        return one_line(xlsx_numbers.shown(number, code, since_1904=self._since_1904))


def _tables(rows: Iterator[tuple[int, tables.Row]]) -> Iterator[Iterator[tables.Row]]:
    """The sheet's tables: after blank rows a new one begins where a caption or headers stand."""
    for _, found in groupby(_with_table(rows), key=itemgetter(0)):
        yield (row for _, row in found)


def _with_table(rows: Iterator[tuple[int, tables.Row]]) -> Iterator[tuple[int, tables.Row]]:
    table, previous = 0, 0
    end: tuple[int, tables.Row] = (0, {})
    for (number, row), (_, following) in pairwise(chain(rows, [end])):
        if number > previous + 1 and (len(row) == 1 or tables.is_header(row, following)):
            table += 1
        previous = number
        yield table, row


def _rich(item: Any) -> str:
    """The text of a string with or without formatting, without its reading aids, on one line."""
    pieces = []
    for child in item:
        name = local(child)
        if name == "t":
            pieces.append(child.text or "")
        elif name == "r":
            pieces.append(child.findtext("{*}t") or "")
    return one_line("".join(pieces))


def _formats(root: Any) -> list[str]:
    """The number format of each cell style."""
    if root is None:
        return []
    own = {
        element.get("numFmtId"): element.get("formatCode") or ""
        for element in root.iterfind("{*}numFmts/{*}numFmt")
    }
    codes = {str(number): code for number, code in xlsx_numbers.BUILT_IN.items()} | own
    keys = (element.get("numFmtId") for element in root.iterfind("{*}cellXfs/{*}xf"))
    return [codes.get(key, "General") for key in keys]


def _text_boxes(package: Package, part: str, builder: Builder) -> None:
    drawing = package.xml_or_none(package.related(part, "drawing"))
    for body in () if drawing is None else drawing.iter("{*}txBody"):
        paragraphs = ("".join(text.text or "" for text in one.iter("{*}t")) for one in body.iter("{*}p"))
        builder.paragraph("\n".join(paragraphs))
