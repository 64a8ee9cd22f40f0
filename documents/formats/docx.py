"""Word documents (WordprocessingML, ECMA-376 part 1, chapter 17), in reading order.

Kept: headings, list items with their numbers, tables, text boxes behind the paragraph that they hang on, foot- and
endnotes behind the paragraph that refers to them, headers and footers once at the end, insertions, descriptions of
images. Left out: deletions, hidden text, comments, and tables of contents, which repeat the headings. There are no
pages: a Word file has none until a program lays it out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from documents.formats import docx_inline, tables
from documents.formats.building import Builder, one_line, whole
from documents.formats.docx_styles import Numbering, Style, Styles, child_value
from documents.formats.packages import Package, attribute, is_on, local
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError

# What only wraps paragraphs and tables.
_WRAPPERS: Final = {
    "sdt",
    "sdtContent",
    "customXml",
    "ins",
    "moveTo",
    "smartTag",
    "AlternateContent",
    "Choice",
}
_MOST_SPAN: Final = 63  # columns that Word lets a table have


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The document with its blocks; `UnreadableError` when it is damaged, locked, empty or over a limit."""
    return read(path.read_bytes(), limits)


def read(raw: bytes, limits: Limits) -> ParsedDocument:
    """As `parse`, of the file's bytes."""
    package = Package(raw, limits)
    return _Reader(package, limits).document()


class _Reader:
    """Walks one document."""

    def __init__(self, package: Package, limits: Limits) -> None:
        self._package, self._limits = package, limits
        self._main = package.main_part()
        self._builder = Builder(limits)
        self._styles = Styles(self._part("styles"))
        self._numbering = Numbering(self._part("numbering"))
        self._items: list[str] = []
        self._noted = 0
        # Notes that wait for the end of their paragraph or table: number, kind and id.
        self._pending: list[tuple[int, str, str]] = []
        self._title = ""

    def document(self) -> ParsedDocument:
        body = self._package.xml(self._main).find("{*}body")
        if body is None:
            raise UnreadableError(Failure.CORRUPT)
        self._notes = {kind: self._notes_of(f"{kind}s") for kind in ("footnote", "endnote")}
        self._blocks(body, self._limits.depth)
        self._flush()
        self._headers_and_footers()
        title = self._title or self._package.title() or self._builder.first_heading()
        return self._builder.finish(title)

    def _part(self, kind: str) -> Any:
        return self._package.xml_or_none(self._package.related(self._main, kind))

    def _notes_of(self, kind: str) -> dict[str, Any]:
        root = self._part(kind)
        return {} if root is None else {attribute(note, "id"): note for note in root}

    def _blocks(self, container: Any, depth: int) -> None:
        """The paragraphs and tables in `container`, which may have `depth` levels below it."""
        if depth < 0:
            raise UnreadableError(Failure.TOO_DEEP)
        for child in container:
            name = local(child)
            if name == "p":
                self._paragraph(child, depth)
            elif name == "tbl":
                self._flush()
                self._table(child, depth)
                self._flush()
            elif name in _WRAPPERS:
                self._blocks(child, depth - 1)

    def _paragraph(self, paragraph: Any, depth: int) -> None:
        style = self._styles.of(paragraph.find("{*}pPr"))
        inline = self._inline(paragraph, depth)
        notes, self._pending = self._pending, []
        if inline.text.strip() and not style.name.casefold().startswith("toc "):
            self._say(inline.text, style)
        self._pending = notes
        if inline.boxes or self._pending:
            self._flush()
        for box in inline.boxes:
            self._blocks(box, depth - 1)
            self._flush()

    def _say(self, text: str, style: Style) -> None:
        label = self._numbering.label(style.list_id, style.list_level) if style.list_id else ""
        if style.level:
            self._flush()
            self._builder.heading(f"{label if label != '-' else ''} {text}", style.level)
            if style.name.casefold() == "title" and not self._title:
                self._title = one_line(text)
        elif style.list_id:
            self._items.append("  " * style.list_level + one_line(f"{label} {text}"))
        else:
            self._flush()
            self._builder.paragraph(text)

    def _inline(self, paragraph: Any, depth: int) -> docx_inline.Inline:
        inline = docx_inline.read(paragraph, noted=self._noted, depth=depth)
        for kind, key in inline.notes:
            self._noted += 1
            self._pending.append((self._noted, kind, key))
        return inline

    def _flush(self) -> None:
        """Write the list that was collected, and the notes that are due."""
        self._builder.lines(self._items, Kind.LIST)
        self._items = []
        pending, self._pending = self._pending, []
        for number, kind, key in pending:
            note = self._notes[kind].get(key)
            if note is not None:
                self._builder.paragraph(f"[^{number}]: {one_line(self._flat(note, self._limits.depth))}")

    def _table(self, table: Any, depth: int) -> None:
        rows = [row for row in _found(table, "tr", depth) if not _is_deleted(row)]
        headers = 0
        while headers < len(rows) and _is_header(rows[headers]):
            headers += 1
        if len(rows) == 1 and len(cells := list(_found(rows[0], "tc", depth))) == 1:
            self._blocks(cells[0], depth - 3)  # a frame around text
            return
        merged = tables.merged([self._cell(cell, depth) for cell in _found(row, "tc", depth)] for row in rows)
        self._builder.lines(tables.lines(merged, header_rows=headers or None), Kind.TABLE)

    def _cell(self, cell: Any, depth: int) -> tables.Cell:
        properties = cell.find("{*}tcPr")
        merge = None if properties is None else properties.find("{*}vMerge")
        span = child_value(properties, "gridSpan")
        continued = merge is not None and attribute(merge, "val") != "restart"
        text = None if continued else self._flat(cell, depth - 3)
        return tables.Cell(text, min(whole(span, 1, digits=3), _MOST_SPAN))

    def _flat(self, container: Any, depth: int) -> str:
        """All that stands in a cell or a note, tables and text boxes in it too, as one run of text."""
        if depth < 0:
            raise UnreadableError(Failure.TOO_DEEP)
        texts = []
        for child in container:
            name = local(child)
            if name == "p":
                inline = self._inline(child, depth)
                style = self._styles.of(child.find("{*}pPr"))
                label = self._numbering.label(style.list_id, style.list_level) if style.list_id else ""
                texts += [f"{label} {inline.text}", *(self._flat(box, depth - 1) for box in inline.boxes)]
            elif name in _WRAPPERS or (name in {"tbl", "tr", "tc"} and not _is_deleted(child)):
                texts.append(self._flat(child, depth - 1))
        return " ".join(filter(str.strip, texts))

    def _headers_and_footers(self) -> None:
        """Each text once: most documents have the same on every page, and name it for each section again."""
        texts = dict.fromkeys(
            one_line(self._flat(root, self._limits.depth))
            for relation in self._package.relations(self._main).values()
            if relation.kind in {"header", "footer"}
            and (root := self._package.xml_or_none(relation.target)) is not None
        )
        for text in texts:
            if any(len(word) > 1 and word.isalpha() for word in text.split() if word not in {"Page", "of"}):
                self._builder.paragraph(text)


def _found(container: Any, wanted: str, depth: int) -> Iterator[Any]:
    """The rows of a table or the cells of a row, also those that something is wrapped around."""
    if depth < 0:
        raise UnreadableError(Failure.TOO_DEEP)
    for child in container:
        name = local(child)
        if name == wanted:
            yield child
        elif name in _WRAPPERS:
            yield from _found(child, wanted, depth - 1)


def _is_deleted(element: Any) -> bool:
    properties = element.find("{*}trPr")
    return properties is not None and properties.find("{*}del") is not None


def _is_header(row: Any) -> bool:
    properties = row.find("{*}trPr")
    return properties is not None and is_on(properties.find("{*}tblHeader"))
