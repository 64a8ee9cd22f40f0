"""PowerPoint presentations (PresentationML, ECMA-376 part 1, chapter 19): each slide is a page under its title.

Shapes stand in the order in which PowerPoint reads them out, the title first. Kept: list items with their numbers,
tables, the figures of charts, descriptions of images, speaker notes. Left out: hidden slides (their numbers are
not given to others), comments, and what the master puts on every slide (date, slide number, footer).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from documents.formats import charts, tables
from documents.formats.building import Builder, one_line, whole
from documents.formats.packages import Package, Relation, attribute, local
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError

_TITLES: Final = {"title", "ctrTitle"}
_REPEATED: Final = {"dt", "sldNum", "ftr", "hdr"}
_MOST_LEVEL: Final = 8
_MOST_SPAN: Final = 1_000


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The presentation with a page a slide; `UnreadableError` when it is damaged, locked, empty or over a limit."""
    return read(path.read_bytes(), limits)


def read(raw: bytes, limits: Limits) -> ParsedDocument:
    """As `parse`, of the file's bytes."""
    package = Package(raw, limits)
    main = package.main_part()
    builder = Builder(limits)
    relations = package.relations(main)
    for slide in _slides(package.xml(main), relations):
        builder.page()
        root = package.xml_or_none(slide)
        if root is not None and root.get("show") not in {"0", "false"}:
            _Slide(package, builder, limits, slide).write(root)
    return builder.finish(package.title() or builder.first_heading())


def _slides(presentation: Any, relations: dict[str, Relation]) -> Iterator[str]:
    """The names of the slides' parts in the order in which they are shown."""
    for listed in presentation.iterfind("{*}sldIdLst/{*}sldId"):
        key = next((value for name, value in listed.items() if name.endswith("}id")), "")
        if key in relations:
            yield relations[key].target


class _Slide:
    """Writes one slide."""

    def __init__(self, package: Package, builder: Builder, limits: Limits, name: str) -> None:
        self._package, self._builder, self._limits = package, builder, limits
        self._relations = package.relations(name)

    def write(self, root: Any) -> None:
        shapes = list(self._shapes(root.find("{*}cSld/{*}spTree"), self._limits.depth))
        for shape in sorted(shapes, key=lambda shape: _placeholder(shape) not in _TITLES):
            self._shape(shape)
        notes = next((found.target for found in self._relations.values() if found.kind == "notesSlide"), "")
        self._notes(self._package.xml_or_none(notes))

    def _shapes(self, tree: Any, depth: int) -> Iterator[Any]:
        """The shapes one after another, those of groups in their group's place."""
        if depth < 0:
            raise UnreadableError(Failure.TOO_DEEP)
        for child in () if tree is None else tree:
            name = local(child)
            if name in {"grpSp", "AlternateContent", "Choice"}:
                yield from self._shapes(child, depth - 1)
            elif name in {"sp", "pic", "graphicFrame"} and not _is_hidden(child):
                yield child

    def _shape(self, shape: Any) -> None:
        name, place = local(shape), _placeholder(shape)
        if place in _REPEATED:
            return
        if name == "sp":
            self._text(shape.find("{*}txBody"), title=place in _TITLES, listed=place in {"body", "obj"})
        elif name == "pic":
            self._describe(shape)
        else:
            self._frame(shape)

    def _text(self, body: Any, *, title: bool, listed: bool) -> None:
        paragraphs = [] if body is None else list(body.iterchildren("{*}p"))
        if title:
            self._builder.heading(" ".join(map(_words, paragraphs)), 1)
            return
        counts: dict[int, int] = {}
        said = [paragraph for paragraph in paragraphs if _words(paragraph).strip()]
        items = [_item(paragraph, listed=listed and len(said) > 1, counts=counts) for paragraph in said]
        if any(item.lstrip() != item or item[:2] == "- " or item[:1].isdecimal() for item in items):
            self._builder.lines(map(str.rstrip, items), Kind.LIST)
        else:
            self._builder.paragraph("\n".join(items))

    def _frame(self, frame: Any) -> None:
        """A table, a chart or a diagram."""
        data = frame.find("{*}graphic/{*}graphicData")
        kind = "" if data is None else (data.get("uri") or "").rpartition("/")[2]
        if kind == "table":
            self._table(data.find("{*}tbl"))
        elif kind == "chart":
            self._related(data.find("{*}chart"), "id", charts.write)
        elif kind == "diagram":
            self._related(data.find("{*}relIds"), "dm", _diagram)
        self._describe(frame)

    def _related(self, element: Any, key: str, write: Callable[[Any, Builder], None]) -> None:
        """What another part holds for a frame."""
        value = "" if element is None else attribute(element, key)
        relation = self._relations.get(value)
        root = self._package.xml_or_none(relation.target) if relation else None
        if root is not None:
            write(root, self._builder)

    def _table(self, table: Any) -> None:
        if table is None:
            return
        properties = table.find("{*}tblPr")
        marked = properties is not None and properties.get("firstRow") in {"1", "true"}
        rows = ([_cell(cell) for cell in _own_cells(row)] for row in table.iterchildren("{*}tr"))
        self._builder.lines(tables.lines(tables.merged(rows), header_rows=1 if marked else None), Kind.TABLE)

    def _describe(self, shape: Any) -> None:
        properties = next(shape.iter("{*}cNvPr"), None)
        words = "" if properties is None else one_line(properties.get("descr") or "")
        if words:
            self._builder.paragraph(f"[Image: {words}]")

    def _notes(self, root: Any) -> None:
        for shape in () if root is None else root.iterfind("{*}cSld/{*}spTree/{*}sp"):
            body = shape.find("{*}txBody")
            if _placeholder(shape) == "body" and body is not None:
                text = "\n".join(map(_words, body.iterchildren("{*}p")))
                self._builder.paragraph(f"Notes: {text}" if text.strip() else "")


def _placeholder(shape: Any) -> str:
    """What the layout calls the shape's place: title, body, ...; empty for a shape of its own."""
    found = next(shape.iter("{*}ph"), None)
    return "" if found is None else found.get("type") or "obj"


def _is_hidden(shape: Any) -> bool:
    properties = next(shape.iter("{*}cNvPr"), None)
    return properties is not None and properties.get("hidden") in {"1", "true"}


def _words(paragraph: Any) -> str:
    runs = paragraph.iter("{*}t", "{*}br", "{*}tab")
    return "".join((run.text or "") if local(run) == "t" else " " for run in runs)


def _item(paragraph: Any, *, listed: bool, counts: dict[int, int]) -> str:
    """A paragraph with its number or bullet; in a place for lists it has one unless it says otherwise."""
    properties = paragraph.find("{*}pPr")
    level, text = 0, one_line(_words(paragraph))
    if properties is not None:
        level = min(whole(properties.get("lvl"), 0, digits=2), _MOST_LEVEL)
        if properties.find("{*}buAutoNum") is not None:
            first = whole(properties.find("{*}buAutoNum").get("startAt"), 1, digits=5)
            counts[level] = counts.get(level, first - 1) + 1
            return f"{'  ' * level}{counts[level]}. {text}"
        listed = properties.find("{*}buChar") is not None or (listed and properties.find("{*}buNone") is None)
    counts.pop(level, None)
    return f"{'  ' * level}- {text}" if listed else text


def _own_cells(row: Any) -> Iterator[Any]:
    """The cells but those that lie under the cell on their left."""
    return (cell for cell in row.iterchildren("{*}tc") if cell.get("hMerge") not in {"1", "true"})


def _cell(cell: Any) -> tables.Cell:
    columns = min(whole(cell.get("gridSpan"), 1, digits=4), _MOST_SPAN)
    if cell.get("vMerge") in {"1", "true"}:
        return tables.Cell(None, columns)
    return tables.Cell(" ".join(map(_words, cell.iter("{*}p"))), columns)


def _diagram(root: Any, builder: Builder) -> None:
    """The words of a diagram (SmartArt) in the order of its outline."""
    texts = [one_line(" ".join(map(_words, point.iter("{*}p")))) for point in root.iter("{*}pt")]
    builder.lines((f"- {text}" for text in texts if text), Kind.LIST)
