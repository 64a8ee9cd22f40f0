"""Files that swell, loop or nest: archives and markup. PDFs are in `tests.documents.bad_pdfs`."""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Final

from tests.documents.good_files import (
    NAMESPACE_W,
    OFFICE_RELATIONS,
    PACKAGE_RELATIONS,
    SENTENCE,
    docx,
    mail,
    packed,
    paragraph,
    pptx,
    relationships,
    xlsx,
)

MEBI: Final = 1 << 20
_LAUGHS: Final = (
    "<!DOCTYPE x [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    + "]>"
)
_QUADRATIC: Final = f"<!DOCTYPE x [<!ENTITY a '{'ha' * 25_000}'>]>"
_EXTERNAL: Final = "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
_REMOTE: Final = "<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x.dtd'>"
_PARAMETER: Final = "<!DOCTYPE x [<!ENTITY % a SYSTEM 'http://127.0.0.1:9/x.dtd'> %a;]>"


def deflated(byte: bytes, mebibytes: int, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """A raw deflate stream of that many mebibytes of one byte: a thousandth of them, and made at once.

    After a full flush a block can be repeated: it begins at a byte and looks at nothing before it.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(byte * MEBI) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * mebibytes + packer.compress(after) + packer.flush()


@cache
def zip_of(parts: tuple[tuple[bytes, bytes, int], ...], declared: int | None = None) -> bytes:
    """A zip of deflated parts (name, stream, size); every large one is said to have `declared` bytes when that is given.

    The checksums of large parts are 0: who unpacks to the end finds that out, and should not get there.
    """
    out, directory = bytearray(), bytearray()
    for name, stream, size in parts:
        large = size > MEBI
        told = declared if large and declared is not None else size
        checksum = 0 if large else zlib.crc32(zlib.decompress(stream, -15))
        fixed = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, checksum, len(stream), told, len(name), 0)
        directory += b"PK\1\2\x14\0" + fixed + struct.pack("<HHHII", 0, 0, 0, 0, len(out)) + name
        out += b"PK\3\4" + fixed + name + stream
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(parts), len(parts), len(directory), len(out), 0)
    return bytes(out + directory + end)


def office() -> Mapping[str, bytes]:
    """Zips and their XML."""
    return _swelling() | _archives() | _parts() | _entities()


def _swelling() -> dict[str, bytes]:
    good = docx(paragraph(SENTENCE))
    return {
        "bomb-1gib.docx": _swollen(docx(paragraph("%")), "word/document.xml", 1024),
        "bomb-1gib.xlsx": _swollen(
            xlsx("<row r='1'><c r='A1' t='inlineStr'><is><t>%</t></is></c></row>"),
            "xl/worksheets/sheet1.xml",
            1024,
        ),
        "bomb-1gib.pptx": _swollen(pptx("<a:p><a:r><a:t>%</a:t></a:r></a:p>"), "ppt/slides/slide1.xml", 1024),
        "bomb-lying.docx": _swollen(docx(paragraph("%")), "word/document.xml", 1024, declared=1000),
        "bomb-of-many.docx": _of_many(good),
        "bomb-overlapping.docx": _overlapping(good),
        "bomb-nested.docx": packed(
            good | {"word/document.xml": packed({"a.zip": packed({"b": bytes(MEBI)})})}
        ),
        "entries-60000.docx": packed(
            good | {f"word/media/{n}": b"" for n in range(60_000)}, zipfile.ZIP_STORED
        ),
    }


def _archives() -> dict[str, bytes]:
    """Zips whose parts are not there, refer to what they may not, or lie about themselves."""
    good = docx(paragraph(SENTENCE))
    names = ["../../evil.txt", "/etc/passwd", "C:\\evil", "CON", "x" * 300, "\u202etxt.exe", "word/../../x"]
    return {
        "relation-to-file.docx": packed(
            good
            | {
                "word/_rels/document.xml.rels": relationships(
                    "image", "file:///etc/passwd", " TargetMode='External'"
                )
            }
        ),
        "relation-to-itself.docx": packed(
            good | {"_rels/.rels": relationships("officeDocument", "_rels/.rels")}
        ),
        "relation-outside.docx": packed(
            good | {"_rels/.rels": relationships("officeDocument", "../../../../etc/passwd")}
        ),
        "no-document.docx": packed(
            {name: part for name, part in good.items() if name != "word/document.xml"}
        ),
        "no-types.docx": packed({name: part for name, part in good.items() if not name.startswith("[")}),
        "names.docx": packed(good | dict.fromkeys(names, b"evil")),
        "twice.docx": packed(good) + packed(good),
        "encrypted.docx": _flagged(packed(good), 1),
        "unknown-method.docx": _method(packed(good, zipfile.ZIP_STORED), 99),
    }


def _parts() -> dict[str, bytes]:
    """XML that is deep, long, or says what cannot be."""
    deep = "<w:tbl><w:tr><w:tc>" * 5_000 + paragraph("deep") + "</w:tc></w:tr></w:tbl>" * 5_000
    good = docx(paragraph(SENTENCE))
    return {
        "deep-tables.docx": packed(docx(deep)),
        "deep-xml.docx": packed(docx("<w:x>" * 200_000)),
        "utf16-lies.docx": packed(
            good | {"word/document.xml": str(good["word/document.xml"]).encode("utf-16")}
        ),
        "characters.docx": packed(docx(paragraph("a&#0;b&#xD800;c&#xFFFE;"))),
        "raw-nul.docx": packed(docx(paragraph("a\0b"))),
        "many-paragraphs.docx": packed(docx(paragraph("x") * 400_000)),
        "long-attribute.docx": packed(docx(f"<w:p w:x='{'y' * 12_000_000}'/>")),
        "far-cell.xlsx": packed(xlsx("<row r='1048576'><c r='XFD1048576'><v>1</v></c></row>")),
        "beyond-cell.xlsx": packed(xlsx("<row r='99999999'><c r='ZZZZZZ9'><v>1</v></c></row>")),
        "shared-beyond.xlsx": packed(xlsx("<row r='1'><c r='A1' t='s'><v>4294967295</v></c></row>")),
        "numbers.xlsx": packed(
            xlsx(
                f"<row r='1'><c r='A1'><v>{'9' * 100_000}</v></c><c r='B1'><v>1e999</v></c><c r='C1'><v>NaN</v></c></row>"
            )
        ),
        "many-cells.xlsx": packed(
            xlsx("".join(f"<row r='{n}'><c r='A{n}'><v>1</v></c></row>" for n in range(1, 300_000)))
        ),
        "slide-loop.pptx": packed(
            pptx("<a:p/>")
            | {"ppt/slides/_rels/slide1.xml.rels": relationships("slide", "../slides/slide1.xml")}
        ),
        "no-slides.pptx": packed({n: p for n, p in pptx("").items() if "slides/" not in n}),
    }


def _entities() -> dict[str, bytes]:
    files = {}
    for kind, prolog in (
        ("laughs", _LAUGHS), ("quadratic", _QUADRATIC), ("external", _EXTERNAL), ("remote", _REMOTE), ("parameter", _PARAMETER),
    ):  # fmt: skip
        word = {"laughs": "&a11;", "quadratic": "&a;" * 50_000}.get(kind, "&a;")
        files[f"entities-{kind}.docx"] = packed(docx(paragraph(word), prolog=prolog))
        files[f"entities-{kind}.pptx"] = packed(
            pptx(f"<a:p><a:r><a:t>{word}</a:t></a:r></a:p>", prolog=prolog)
        )
        files[f"entities-{kind}.xlsx"] = packed(
            xlsx(f"<row r='1'><c r='A1' t='inlineStr'><is><t>{word}</t></is></c></row>", prolog=prolog)
        )
        files[f"entities-{kind}.html"] = f"<!doctype html>{prolog}<html><body>{word}</body></html>".encode()
    return files


def _swollen(
    parts: Mapping[str, bytes | str], part: str, mebibytes: int, declared: int | None = None
) -> bytes:
    """The archive with that many mebibytes of spaces where `part` has a percent sign."""
    made = []
    for name, raw in _encoded(parts).items():
        before, _, after = raw.partition(b"%") if name == part else (raw, b"", b"")
        many = mebibytes if name == part else 0
        stream = deflated(b" ", many, before=before, after=after)
        made.append((name.encode(), stream, len(before) + many * MEBI + len(after)))
    return zip_of(tuple(made), declared)


def _of_many(parts: Mapping[str, bytes | str]) -> bytes:
    """A good file with forty headers of 30 MiB each, every one small enough by itself."""
    head = f"<w:hdr {NAMESPACE_W}><w:p><w:r><w:t>".encode(), b"</w:t></w:r></w:p></w:hdr>"
    stream = deflated(b"x", 30, before=head[0], after=head[1])
    good = tuple(
        (name.encode(), deflated(b"", 0, before=raw), len(raw)) for name, raw in _encoded(parts).items()
    )
    size = 30 * MEBI + len(head[0]) + len(head[1])
    links = "".join(
        f'<Relationship Id="h{n}" Type="{OFFICE_RELATIONS}/header" Target="h{n}.xml"/>' for n in range(40)
    )
    relations = f'<Relationships xmlns="{PACKAGE_RELATIONS}">{links}</Relationships>'.encode()
    return zip_of(
        (
            *good,
            (b"word/_rels/document.xml.rels", deflated(b"", 0, before=relations), len(relations)),
            *((b"word/h%d.xml" % n, stream, size) for n in range(40)),
        )
    )


def _encoded(parts: Mapping[str, bytes | str]) -> dict[str, bytes]:
    return {name: part.encode() if isinstance(part, str) else part for name, part in parts.items()}


def _overlapping(parts: Mapping[str, bytes | str]) -> bytes:
    """A good file, and ten thousand more names for the same 100 MiB."""
    good = tuple(
        (name.encode(), deflated(b"", 0, before=raw), len(raw)) for name, raw in _encoded(parts).items()
    )
    archive = zip_of((*good, (b"word/media.xml", deflated(b"x", 100), 100 * MEBI)))
    start, last, end = archive.index(b"PK\1\2"), archive.rindex(b"PK\1\2"), archive.rindex(b"PK\5\6")
    directory = archive[start:last] + archive[last:end] * 10_000
    many = len(good) + 10_000
    return (
        archive[:start]
        + directory
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, many, many, len(directory), start, 0)
    )


def _flagged(archive: bytes, flag: int) -> bytes:
    """With a flag set in every header of a part."""
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        archive = _patched(archive, signature, offset, flag)
    return archive


def _method(archive: bytes, method: int) -> bytes:
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        archive = _patched(archive, signature, offset, method)
    return archive


def _patched(archive: bytes, signature: bytes, offset: int, value: int) -> bytes:
    out, place = bytearray(archive), archive.find(signature)
    while place >= 0:
        struct.pack_into("<H", out, place + offset, value)
        place = archive.find(signature, place + 4)
    return bytes(out)


def markup() -> Mapping[str, bytes]:
    """HTML, CSV and mail."""
    return _html() | _csv() | _mail()


def _html() -> dict[str, bytes]:
    return {
        "deep.html": b"<div>" * 200_000 + b"deep",
        "deep-lists.html": b"<!doctype html>" + b"<ul><li>" * 50_000 + b"deep",
        "deep-tables.html": b"<html>" + b"<table><tr><td>" * 20_000 + b"deep",
        "deep-inline.html": b"<html><p>" + b"<b><i>" * 50_000 + b"deep",
        # Every paragraph opens all the formatting again.
        "formatting.html": b"<html><p>" + b"<b><p>" * 20_000,
        "unclosed.html": b"<html><!-- " + b"a" * 1_000_000,
        "script.html": b"<html><script>" + b"alert(1);" * 100_000,
        "attributes.html": b"<html><p " + b"".join(b"a%d=1 " % n for n in range(200_000)) + b">x",
        "entities.html": b"<html>&#0;&#xD800;&#x110000;&#99999999999;&nosuch;" * 1_000,
        "nul.html": b"<html>a\0b<p\0>c",
        "charset-lies.html": b"<html><meta charset=utf-16><p>caf\xe9",
        "cells.html": b"<html><table>" + b"<tr><td colspan=100000 rowspan=100000>x" * 1_000,
    }


def _csv() -> dict[str, bytes]:
    return {
        "wide.csv": b",".join([b"x"] * 1_000_000),
        "unclosed.csv": b'a,"' + b"x\n" * 1_000_000,
        "quotes.csv": b'"' * 1_000_001,
        "nul.csv": b"a,b\0c\n" * 100,
        "delimiters.csv": b"a;b\tc,d|e\n" * 1_000,
        "field.csv": b"a," + b"x" * 500_000,
        "rows.csv": b"a,b\n" * 1_500_000,
    }


def _mail() -> dict[str, bytes]:
    nested = mail("deep").as_bytes()
    for _ in range(300):
        nested = b"Content-Type: message/rfc822\n\n" + nested
    parts = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(2_000)
    )
    many = b"--x\nContent-Type: text/plain\n\na\n" * 50_000
    trick = mail(SENTENCE).as_bytes().replace(b"keys.csv", b"../../../etc/passwd")
    return {
        "nested.eml": nested,
        "nested-parts.eml": b"From: a@b\nSubject: x\nMIME-Version: 1.0\n" + parts + b"deep",
        "many-parts.eml": b'From: a@b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n'
        + many,
        "no-boundary.eml": b"From: a@b\nSubject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed\n\nx",
        "header.eml": b"From: a@b\nSubject: " + b"x" * 5_000_000 + b"\n\nx",
        "headers.eml": b"From: a@b\n" + b"X-A: b\n" * 300_000 + b"\nx",
        "words.eml": b"From: a@b\nSubject: " + b"=?utf-8?q?=ed=a0=80=00?= " * 10_000 + b"\n\nx",
        "charset.eml": b"From: a@b\nSubject: x\nContent-Type: text/plain; charset=nosuch\n\ncaf\xe9",
        "base64.eml": b"From: a@b\nSubject: x\nContent-Transfer-Encoding: base64\n\n===A=B=\xff",
        "path.eml": trick,
        "addresses.eml": b"From: " + b"<" * 100_000 + b"\nTo: " + b"(" * 100_000 + b"\nSubject: x\n\nx",
        "parameters.eml": b"From: a@b\nSubject: x\nContent-Type: text/plain; "
        + b"".join(b"a*%d*=%%00;" % n for n in range(20_000))
        + b"\n\nx",
    }
