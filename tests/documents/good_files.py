"""One small good file of each format, by its name: made by hand, with no library that a format's reader uses too."""

import io
import zipfile
from collections.abc import Mapping
from email.message import EmailMessage
from functools import cache
from typing import Final

from tests.documents import pdfs

SENTENCE: Final = "Keys are rotated every ninety days, and the old one is refused at once."
_MARKDOWN: Final = f"---\ntitle: Keys\n---\n\n# Keys\n\n{SENTENCE}\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n"
_HTML: Final = (
    "<!doctype html><html><head><title>Keys</title><meta charset=utf-8></head><body><h1>Keys</h1>"
    f"<p>{SENTENCE}</p><ul><li>one<li>two</ul><table><tr><th>a<th>b<tr><td>1<td>2</table></body></html>"
)
_CSV: Final = 'key,days,note\r\nalpha,90,"rotated, then refused"\r\nbeta,30,"a ""quoted"" word"\r\n'
NAMESPACE_W: Final = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_S: Final = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_P: Final = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
_A: Final = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_R: Final = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
OFFICE_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE_RELATIONS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPE: Final = "application/vnd.openxmlformats-officedocument."


@cache
def good() -> Mapping[str, bytes]:
    return {
        "good.txt": f"1.1 Keys\n\n{SENTENCE}\n\nGröße: 5 €.\n".encode(),
        "good.md": _MARKDOWN.encode(),
        "good.pdf": pdfs.pdf(
            pdfs.Page(pdfs.flowing("Keys", "", SENTENCE)), pdfs.Page(pdfs.flowing("Two")), title="Keys"
        ),
        "good.docx": packed(docx(paragraph(SENTENCE))),
        "good.pptx": packed(pptx(f"<a:p><a:r><a:t>{SENTENCE}</a:t></a:r></a:p>")),
        "good.xlsx": packed(xlsx(f'<row r="1"><c r="A1" t="inlineStr"><is><t>{SENTENCE}</t></is></c></row>')),
        "good.html": _HTML.encode(),
        "good.csv": _CSV.encode(),
        "good.eml": mail(SENTENCE).as_bytes(),
    }


def packed(parts: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these parts, always with the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=compression)
    return out.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def docx(body: str, *, prolog: str = "") -> dict[str, bytes | str]:
    """The parts of a Word file whose document holds `body`."""
    document = f"<?xml version='1.0' encoding='UTF-8'?>{prolog}<w:document {NAMESPACE_W}><w:body>{body}</w:body></w:document>"
    return _package("word/document.xml", "wordprocessingml.document.main+xml") | {
        "word/document.xml": document
    }


def xlsx(rows: str, *, prolog: str = "") -> dict[str, bytes | str]:
    """The parts of a workbook with one sheet of these rows."""
    book = f'<workbook {_S} {_R}><sheets><sheet name="Keys" sheetId="1" r:id="rId1"/></sheets></workbook>'
    sheet = f"<?xml version='1.0' encoding='UTF-8'?>{prolog}<worksheet {_S}><sheetData>{rows}</sheetData></worksheet>"
    return _package(
        "xl/workbook.xml",
        "spreadsheetml.sheet.main+xml",
        {"xl/worksheets/sheet1.xml": "spreadsheetml.worksheet+xml"},
    ) | {
        "xl/workbook.xml": book,
        "xl/_rels/workbook.xml.rels": relationships("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": sheet,
    }


def pptx(text: str, *, prolog: str = "") -> dict[str, bytes | str]:
    """The parts of a presentation with one slide that has these paragraphs."""
    show = (
        f'<p:presentation {_P} {_R}><p:sldIdLst><p:sldId id="256" r:id="rId1"/></p:sldIdLst></p:presentation>'
    )
    slide = (
        f"<?xml version='1.0' encoding='UTF-8'?>{prolog}<p:sld {_P} {_A}><p:cSld><p:spTree><p:nvGrpSpPr><p:cNvPr id='1' name=''/>"
        "<p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/><p:sp><p:nvSpPr><p:cNvPr id='2' name='Text'/><p:cNvSpPr/><p:nvPr/>"
        f"</p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/>{text}</p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
    )
    return _package(
        "ppt/presentation.xml",
        "presentationml.presentation.main+xml",
        {"ppt/slides/slide1.xml": "presentationml.slide+xml"},
    ) | {
        "ppt/presentation.xml": show,
        "ppt/_rels/presentation.xml.rels": relationships("slide", "slides/slide1.xml"),
        "ppt/slides/slide1.xml": slide,
    }


def relationships(kind: str, target: str, more: str = "") -> str:
    """A part of relationships with one of them, and whatever else it is to say."""
    return (
        f'<Relationships xmlns="{PACKAGE_RELATIONS}">'
        f'<Relationship Id="rId1" Type="{OFFICE_RELATIONS}/{kind}" Target="{target}"{more}/></Relationships>'
    )


def _package(main: str, main_type: str, others: Mapping[str, str] | None = None) -> dict[str, bytes | str]:
    parts = {main: main_type, **(others or {})}
    overrides = "".join(
        f'<Override PartName="/{name}" ContentType="{_TYPE}{kind}"/>' for name, kind in parts.items()
    )
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
    )
    return {"[Content_Types].xml": types, "_rels/.rels": relationships("officeDocument", main)}


def mail(text: str) -> EmailMessage:
    """A message with two alternatives and an attachment."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", "Keys, Größe"
    message["Date"] = "Mon, 03 Aug 2026 10:00:00 +0000"
    message.set_content(text)
    message.add_alternative(_HTML, subtype="html")
    message.add_attachment(_CSV, subtype="csv", filename="keys.csv")
    message.set_boundary("outer")
    for number, part in enumerate(message.walk()):
        if part.is_multipart():
            part.set_boundary(f"boundary{number}")
    return message
