"""PDFs that swell, loop, nest or lie, object by object."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from tests.documents import pdfs
from tests.documents.bombs import deflated
from tests.documents.good_files import good

_CATALOG: Final = b"<< /Type /Catalog /Pages 2 0 R >>"
_TREE: Final = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
_FONT: Final = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
_TEXT: Final = b"BT /F1 11 Tf 72 700 Td (Keys are rotated.) Tj ET"


def document(*objects: bytes, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """A file of these objects, numbered from 1."""
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def one_page(
    content: bytes,
    *,
    filters: bytes = b"",
    resources: bytes = b"",
    more: Sequence[bytes] = (),
    page: bytes = b"",
) -> bytes:
    """A file of one page with this content; `more` are the objects from 6 on."""
    stream = b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), filters, content)
    whole = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> %s >> %s >>"
    return document(_CATALOG, _TREE, whole % (resources, page), stream, _FONT, *more)


def files() -> Mapping[str, bytes]:
    return {**_trees(), **_streams(), **_forms(), **_objects(), **_disguises()}


def _trees() -> dict[str, bytes]:
    """Page trees that loop, lie about how many pages there are, or have too many."""
    leaf = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"
    chain = [b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (n + 3) for n in range(20_000)]
    return {
        "tree-loop.pdf": document(_CATALOG, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"),
        "tree-loop-below.pdf": document(
            _CATALOG, _TREE, b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R 3 0 R] /Count 1000 >>"
        ),
        "tree-deep.pdf": document(_CATALOG, *chain, leaf),
        "tree-same-kid.pdf": document(
            _CATALOG, b"<< /Type /Pages /Kids [%s] /Count 1999 >>" % (b"3 0 R " * 1_999), leaf
        ),
        "count-huge.pdf": document(_CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count 2147483647 >>", leaf),
        "count-allowed.pdf": document(_CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count 2000 >>", leaf),
        "count-negative.pdf": document(_CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count -5 >>", leaf),
        "count-none.pdf": document(_CATALOG, b"<< /Type /Pages /Kids [] /Count 0 >>"),
        "pages-20000.pdf": pdfs.pdf(*[pdfs.Page()] * 20_000),
        "no-pages.pdf": document(b"<< /Type /Catalog >>"),
        "no-root.pdf": document(_CATALOG, _TREE, leaf, trailer=b""),
        "root-loop.pdf": document(b"1 0 R", _TREE, leaf),
    }


def _streams() -> dict[str, bytes]:
    """Streams that unpack to far more than they are, or that take forever to show."""
    gibi = _zlib(b" ", 1024)
    twice = zlib.compress(_zlib(b" ", 4096), 9)
    return {
        "bomb-content.pdf": one_page(gibi, filters=b"/Filter /FlateDecode"),
        "bomb-twice.pdf": one_page(twice, filters=b"/Filter [/FlateDecode /FlateDecode]"),
        "bomb-predictor.pdf": one_page(
            gibi, filters=b"/Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 2147483647 >>"
        ),
        "bomb-text.pdf": one_page(
            _zlib(b"x", 64, b"BT /F1 1 Tf (", b") Tj ET"), filters=b"/Filter /FlateDecode"
        ),
        "bomb-operators.pdf": pdfs.pdf(pdfs.Page(operators=b"q Q " * (64 << 18))),
        "saves.pdf": pdfs.pdf(pdfs.Page(operators=b"q " * 2_000_000 + _TEXT)),
        "run-length.pdf": one_page(b"\x81 " * 1_000_000, filters=b"/Filter /RunLengthDecode"),
        "filters-100.pdf": one_page(_TEXT, filters=b"/Filter [%s]" % (b"/ASCIIHexDecode " * 100)),
        "lzw.pdf": one_page(b"\x80\x0b\x60\x50\x22\x0c" * 10_000, filters=b"/Filter /LZWDecode"),
    }


def _forms() -> dict[str, bytes]:
    """Forms and letters that draw one another, numbers that lie, and far too much to draw."""
    forms = [_form(b"/X Do " * 12, n + 7) for n in range(10)]
    scattered = (
        b"BT /F1 1 Tf "
        + b"".join(b"1 0 0 1 %d %d Tm (x)Tj " % (n * 7 % 600, n * 13 % 700) for n in range(60_000))
        + b"ET"
    )
    return {
        "forms-laugh.pdf": one_page(
            b"/X Do", resources=b"/XObject << /X 6 0 R >>", more=[*forms, _form(_TEXT, 0)]
        ),
        "form-in-itself.pdf": one_page(
            b"/X Do", resources=b"/XObject << /X 6 0 R >>", more=[_form(b"/X Do /X Do", 6)]
        ),
        "type3-in-itself.pdf": one_page(
            b"BT /F2 9 Tf (aaaa) Tj ET",
            resources=b"/Font << /F1 5 0 R /F2 6 0 R >>",
            more=[_TYPE3, b"<< /Length 24 >>\nstream\nBT /F2 9 Tf (aaaa) Tj ET\nendstream"],
        ),
        "scattered.pdf": one_page(scattered),
        "length-lies.pdf": one_page(_TEXT).replace(b"/Length 53", b"/Length 2147483647"),
        "length-loop.pdf": one_page(_TEXT).replace(b"/Length 53", b"/Length 4 0 R"),
        "size-lies.pdf": one_page(_TEXT).replace(b"/Size 6", b"/Size 2147483647"),
        "image-huge.pdf": one_page(
            b"/X Do",
            resources=b"/XObject << /X 6 0 R >>",
            more=[
                (
                    b"<< /Subtype /Image /Width 65535 /Height 65535 /BitsPerComponent 8 /ColorSpace /DeviceRGB /Length 1 >>\n"
                    b"stream\nx\nendstream"
                )
            ],
        ),
    }


_TYPE3: Final = (
    b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0] /FirstChar 97 /LastChar 97 /Widths [9]"
    b" /CharProcs << /a 7 0 R >> /Encoding << /Differences [97 /a] >> /Resources << /Font << /F2 6 0 R >> >> >>"
)


def _form(content: bytes, inner: int) -> bytes:
    resources = b"/Font << /F1 5 0 R >> /XObject << /X %d 0 R >>" % inner
    head = b"<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << %s >> /Length %d >>"
    return head % (resources, len(content)) + b"\nstream\n" + content + b"\nendstream"


def _objects() -> dict[str, bytes]:
    """Objects that nest or lie, codes that nobody can store, locks, and numbers beyond reason."""
    codes = b"1 beginbfrange <00> <ff> <0000> endbfrange 1 beginbfchar <61> <d800> endbfchar"
    cmap = b"<< /Length %d >>\nstream\nbegincmap 1 begincodespacerange <00> <ff> endcodespacerange %s endcmap\nendstream"
    locked = b"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <%s> /U <%s> >>" % (b"ab" * 32, b"cd" * 32)
    title = b"<< /Title <FEFF0000D8000041> >>"
    return {
        "arrays-deep.pdf": one_page(_TEXT, page=b"/X " + b"[" * 300_000),
        "arrays-closed.pdf": one_page(_TEXT, page=b"/X " + b"[" * 5_000 + b"]" * 5_000),
        "dictionaries-deep.pdf": one_page(_TEXT, page=b"/X <<" * 100_000),
        "content-arrays.pdf": one_page(b"[" * 500_000 + _TEXT),
        "unstorable.pdf": one_page(
            b"BT /F2 9 Tf (abc) Tj ET",
            resources=b"/Font << /F2 6 0 R >>",
            more=[_FONT[:-2] + b"/ToUnicode 7 0 R >>", cmap % (len(codes) + 65, codes)],
        ),
        "unstorable-title.pdf": document(
            _CATALOG, _TREE, b"<< /Type /Page /Parent 2 0 R >>", title, trailer=b"/Root 1 0 R /Info 4 0 R"
        ),
        "locked.pdf": document(
            _CATALOG, _TREE, b"<< /Type /Page >>", locked, trailer=b"/Root 1 0 R /Encrypt 4 0 R /ID [<00> <00>]"
        ),
        "unknown-lock.pdf": document(
            _CATALOG, _TREE, b"<< /Type /Page >>", b"<< /Filter /Nobody /V 99 >>", trailer=b"/Root 1 0 R /Encrypt 4 0 R"
        ),
        "box-huge.pdf": one_page(_TEXT, page=b"/MediaBox [-1e38 -1e38 1e38 1e38] /UserUnit 1e30"),
        "box-nan.pdf": one_page(_TEXT, page=b"/MediaBox [0 0 0 0] /CropBox [9 9 -9 -9]"),
        "rotated.pdf": one_page(_TEXT, page=b"/Rotate 2147483647"),
        "font-huge.pdf": one_page(_TEXT.replace(b" 11 Tf", b" 1e38 Tf")),
        "font-zero.pdf": one_page(b"BT /F1 0 Tf 0 0 0 0 0 0 Tm (zero) Tj ET"),
        "numbers.pdf": one_page(b"BT /F1 11 Tf 99999999999999999999 -1e999 Td (far) Tj ET"),
        "font-loop.pdf": one_page(_TEXT).replace(_FONT, b"<< /Type /Font /Subtype /Type0 /DescendantFonts [5 0 R] >>"),
        "xref-loop.pdf": document(_CATALOG, _TREE, trailer=b"/Root 1 0 R /Prev 9 /XRefStm 9"),
        "xref-none.pdf": one_page(_TEXT).partition(b"xref")[0],
        "xref-zero.pdf": one_page(_TEXT).partition(b"startxref")[0] + b"startxref\n0\n%%EOF",
        "xref-far.pdf": one_page(_TEXT).partition(b"startxref")[0] + b"startxref\n99999999999999999999\n%%EOF",
        "objects-many.pdf": document(_CATALOG, _TREE, *[b"null"] * 300_000),
        "script.pdf": document(
            b"<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (while(1){}) >> >>", _TREE, b"<< /Type /Page >>"
        ),
    }  # fmt: skip


def _disguises() -> dict[str, bytes]:
    """Files that are two things at once."""
    pdf, archive = good()["good.pdf"], good()["good.docx"]
    html = b"<html><script>alert(1)</script>"
    return {
        "pdf-and-zip.pdf": pdf + archive,
        "zip-and-pdf.docx": archive + pdf,
        "html-before.pdf": html + pdf,
        "html-inside.html": pdf + html,
        "gif-script.html": b"GIF89a/*" + bytes(8) + b"*/=1;alert(1)//",
        "gif-script.txt": b"GIF89a=1;//\n<script>alert(1)</script>",
        "mark-far.pdf": b"\n" * 1_000 + pdf,
        "mark-farther.pdf": b"\n" * 1_100 + pdf,
        "mark-alone.pdf": b"%PDF-",
        "marks.pdf": b"%PDF-1.7\n" * 100_000,
        "pdf-in-text.txt": b"See %PDF-1.7 and more",
        "shell-pdf.txt": b"#!/bin/sh\nexit\n" + pdf,
    }


def _zlib(byte: bytes, mebibytes: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """Without its checksum, which readers of PDFs do not miss."""
    return b"\x78\xda" + deflated(byte, mebibytes, before=before, after=after)
