"""Small Office files, written part by part so that each test says what is in them."""

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_MAIN = {
    "word/document.xml": "wordprocessingml.document",
    "ppt/presentation.xml": "presentationml.presentation",
    "xl/workbook.xml": "spreadsheetml.sheet",
}
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DRAWING = (
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'
)
P = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
    ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    f' xmlns:r="{_OFFICE}"'
)
S = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{_OFFICE}"'

Relations = Mapping[str, tuple[str, str]]  # by id: the kind and the target


def package(main: str, parts: Mapping[str, str | bytes], relations: Mapping[str, Relations]) -> bytes:
    """A file whose main part is named `main`; `relations` are those of each part."""
    content = f'<Types xmlns="{_PACKAGE}/content-types"><Override PartName="/{main}" ContentType="application/vnd.openxmlformats-officedocument.{_MAIN[main]}.main+xml"/></Types>'
    everything: dict[str, str | bytes] = {"[Content_Types].xml": content, **parts}
    for part, found in {"": {"r0": ("officeDocument", main)}, **relations}.items():
        folder, _, base = part.rpartition("/")
        everything[f"{folder}/_rels/{base}.rels".lstrip("/")] = _relations(found)
    return packed(everything)


def packed(members: Mapping[str, str | bytes]) -> bytes:
    """A zip of these members."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def docx(body: str, **parts: str) -> bytes:
    """A document of this body; `styles`, `numbering`, `footnotes`, `header1` ... are its other parts."""
    main = "word/document.xml"
    relations = {name: (name.rstrip("0123456789"), f"{name}.xml") for name in parts}
    others = {f"word/{name}.xml": content for name, content in parts.items()}
    document = f"<w:document {W} {DRAWING}><w:body>{body}</w:body></w:document>"
    return package(main, {main: document, **others}, {main: relations})


def paragraph(text: str, style: str = "", *, properties: str = "") -> str:
    """A paragraph of one run."""
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f'<w:p><w:pPr>{named}{properties}</w:pPr><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def table(*rows: Sequence[str], header: bool = False) -> str:
    """A Word table of plain cells; with `header` its first row is repeated on every page."""
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row)
        marked = "<w:trPr><w:tblHeader/></w:trPr>" if header and not number else ""
        lines.append(f"<w:tr>{marked}{cells}</w:tr>")
    return f"<w:tbl>{''.join(lines)}</w:tbl>"


def pptx(
    *slides: str, notes: Mapping[int, str] | None = None, parts: Mapping[str, str] | None = None
) -> bytes:
    """A presentation of slides, each given by its shapes (or as a whole `<p:sld>`); `notes` by slide from 1."""
    main, notes = "ppt/presentation.xml", notes or {}
    listed = "".join(f'<p:sldId id="{255 + n}" r:id="s{n}"/>' for n in range(1, len(slides) + 1))
    members = {main: f"<p:presentation {P}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>"}
    relations: dict[str, Relations] = {
        main: {f"s{n}": ("slide", f"slides/slide{n}.xml") for n in range(1, len(slides) + 1)}
    }
    for number, shapes in enumerate(slides, 1):
        name = f"ppt/slides/slide{number}.xml"
        members[name] = shapes if shapes.startswith("<p:sld") else slide(shapes)
        relations[name] = {"c1": ("chart", "../charts/chart1.xml")}
        if number in notes:
            relations[name] = {"n": ("notesSlide", f"../notesSlides/notes{number}.xml")}
            members[f"ppt/notesSlides/notes{number}.xml"] = slide(shape(notes[number], "body"))
    return package(main, {**members, **(parts or {})}, relations)


def slide(shapes: str, attributes: str = "") -> str:
    """A whole slide."""
    return f"<p:sld {P} {attributes}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"


def shape(text: str, place: str = "", *, properties: str = "") -> str:
    """A shape with a paragraph a line, in the layout's `place`."""
    placed = f'<p:nvPr><p:ph type="{place}"/></p:nvPr>' if place else "<p:nvPr/>"
    lines = "".join(
        f"<a:p><a:pPr>{properties}</a:pPr><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n")
    )
    return f"<p:sp><p:nvSpPr>{placed}</p:nvSpPr><p:txBody>{lines}</p:txBody></p:sp>"


def xlsx(
    sheets: Mapping[str, str],
    *,
    strings: Sequence[str] = (),
    formats: Sequence[str] = ("General",),
    states: Mapping[str, str] | None = None,
    properties: str = "",
) -> bytes:
    """A workbook of sheets, each given by what stands in its `<worksheet>`; `formats` are its cell styles'."""
    main, states = "xl/workbook.xml", states or {}
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="s{n}" state="{states.get(name, "visible")}"/>'
        for n, name in enumerate(sheets, 1)
    )
    codes = "".join(f'<numFmt numFmtId="{200 + n}" formatCode="{code}"/>' for n, code in enumerate(formats))
    styles = "".join(f'<xf numFmtId="{200 + n}"/>' for n in range(len(formats)))
    members = {
        main: f"<workbook {S}><workbookPr {properties}/><sheets>{listed}</sheets></workbook>",
        "xl/styles.xml": f"<styleSheet {S}><numFmts>{codes}</numFmts><cellXfs>{styles}</cellXfs></styleSheet>",
        "xl/shared.xml": f"<sst {S}>{''.join(f'<si>{one}</si>' for one in strings)}</sst>",
    }
    relations = {"st": ("styles", "styles.xml"), "sh": ("sharedStrings", "/xl/shared.xml")}
    for number, content in enumerate(sheets.values(), 1):
        members[f"xl/sheet{number}.xml"] = f"<worksheet {S}>{content}</worksheet>"
        relations[f"s{number}"] = ("worksheet", f"sheet{number}.xml")
    return package(main, members, {main: relations})


def cells(*rows: Sequence[str | float]) -> str:
    """`<sheetData>` of text and numbers; an empty text is no cell."""
    lines = []
    for number, row in enumerate(rows, 1):
        found = [
            f'<c r="{chr(65 + column)}{number}"><v>{value}</v></c>'
            if not isinstance(value, str)
            else f'<c r="{chr(65 + column)}{number}" t="inlineStr"><is><t>{value}</t></is></c>'
            for column, value in enumerate(row)
            if value != ""
        ]
        lines.append(f'<row r="{number}">{"".join(found)}</row>' if found else "")
    return f"<sheetData>{''.join(lines)}</sheetData>"


def _relations(found: Relations) -> str:
    lines = "".join(
        f'<Relationship Id="{key}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for key, (kind, target) in found.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{lines}</Relationships>'
