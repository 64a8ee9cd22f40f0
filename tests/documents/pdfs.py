"""Small PDF files, written by hand so that each test says what is in them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

LEADING = 14.0
TOP = 740.0


@dataclass(frozen=True)
class Line:
    """One line of Helvetica: where its baseline starts, in points from the lower left corner."""

    text: str
    x: float = 72.0
    y: float = TOP
    size: float = 11.0


Ruling = tuple[float, float, float, float]  # from x and y to x and y


@dataclass(frozen=True)
class Picture:
    """Grey bytes, row by row."""

    width: int
    height: int
    grey: bytes


@dataclass(frozen=True)
class Page:
    lines: Sequence[Line] = ()
    rulings: Sequence[Ruling] = ()
    image: bool = False
    picture: Picture | None = None  # over the whole page, under its lines
    invisible: bool = False  # the lines, as a layer of recognised text is
    unmapped: bool = False  # the lines in a font that does not say which characters its shapes are
    rotate: int = 0
    operators: bytes = b""  # in place of lines and image, stored compressed


def flowing(*texts: str, x: float = 72.0, top: float = TOP) -> list[Line]:
    """Lines one below the other, the way a typesetter sets a paragraph; an empty text leaves a gap."""
    return [Line(text, x, top - LEADING * row) for row, text in enumerate(texts) if text]


_NARROW = {
    ".": 278,
    ",": 278,
    " ": 278,
    "(": 333,
    ")": 333,
    "-": 333,
}  # of Helvetica; its figures are 556 wide


def width(figure: str, size: float = 11.0) -> float:
    """How wide a figure is in Helvetica."""
    return sum(_NARROW.get(character, 556) for character in figure) * size / 1000


def table(
    rows: Sequence[Sequence[str]], xs: Sequence[float], *, top: float = TOP, right: bool = False
) -> list[Line]:
    """Rows of cells with their left ends at `xs`, or the right ends of all but the first column's; two blanks indent."""
    lines = []
    for place, row in enumerate(rows):
        for column, (text, x) in enumerate(zip(row, xs, strict=False)):
            indent = 6.0 * (len(text) - len(text.lstrip()))
            begin = x - width(text) if right and column else x + indent
            if text:
                lines.append(Line(text.lstrip(), begin, top - LEADING * place))
    return lines


def grid(xs: Sequence[float], ys: Sequence[float]) -> list[Ruling]:
    """All lines of a ruled table."""
    across = [(xs[0], y, xs[-1], y) for y in ys]
    return across + [(x, ys[0], x, ys[-1]) for x in xs]


def pdf(*pages: Page, title: str = "") -> bytes:
    """A whole file with one font, one grey image, the pages, and a title in its metadata when given."""
    objects: list[bytes] = [b"", b""]  # the catalog and the page tree, once their contents are known
    font = _add(objects, b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    image = _add(
        objects,
        _stream(
            b"\x80",
            b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8",
        ),
    )
    shapes = _add(objects, _shapes(_add(objects, _stream(b"600 0 0 0 500 700 d1 50 0 400 600 re f"))))
    kids = []
    for page in pages:
        picture = _add(objects, _picture(page.picture)) if page.picture else image
        packed = zlib.compress(page.operators, 9)
        stream = _stream(packed, b"/Filter /FlateDecode") if page.operators else _stream(_content(page))
        content = _add(objects, stream)
        kids.append(
            _add(
                objects,
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Rotate %d /Contents %d 0 R "
                b"/Resources << /Font << /F1 %d 0 R >> /XObject << /Im1 %d 0 R >> >> >>"
                % (page.rotate, content, shapes if page.unmapped else font, picture),
            )
        )
    info = _add(objects, b"<< /Title (%s) >>" % title.encode("latin-1"))
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (
        b" ".join(b"%d 0 R" % kid for kid in kids),
        len(kids),
    )
    return _file(objects, b"/Root 1 0 R /Info %d 0 R" % info)


def _add(objects: list[bytes], body: bytes) -> int:
    objects.append(body)
    return len(objects)


def _stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data)


def _picture(picture: Picture) -> bytes:
    entries = (
        b"/Type /XObject /Subtype /Image /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode"
    )
    return _stream(
        zlib.compress(picture.grey), b"%s /Width %d /Height %d" % (entries, picture.width, picture.height)
    )


def _shapes(shape: int) -> bytes:
    """A font of shapes whose names mean nothing."""
    names = b" ".join(b"/g%d" % code for code in range(32, 127))
    shapes = b" ".join(b"/g%d %d 0 R" % (code, shape) for code in range(32, 127))
    return (
        b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 600 700] /FontMatrix [.001 0 0 .001 0 0] /FirstChar 32 /LastChar 126 "
        b"/Widths [%s] /Encoding << /Type /Encoding /Differences [32 %s] >> /CharProcs << %s >> >>"
        % (b"600 " * 95, names, shapes)
    )


def _content(page: Page) -> bytes:
    parts = [b"q 400 0 0 600 100 100 cm /Im1 Do Q"] if page.image else []
    parts += [b"q 612 0 0 792 0 0 cm /Im1 Do Q"] if page.picture else []
    parts += [b"3 Tr"] if page.invisible else []
    parts += [b"%g %g m %g %g l S" % ruling for ruling in page.rulings]
    for line in page.lines:
        text = line.text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
        parts.append(b"BT /F1 %g Tf 1 0 0 1 %g %g Tm (%s) Tj ET" % (line.size, line.x, line.y, text))
    return b"\n".join(parts)


def _file(objects: list[bytes], trailer: bytes) -> bytes:
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)
