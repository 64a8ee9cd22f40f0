"""Hostile and broken Office files, through the real parsing child: each ends in its code, and none takes long."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from documents.confined.parsing import ParseFailed, parse
from documents.formats import PARSERS, archives, docx, pptx, xlsx
from documents.structure import Failure, Limits, UnreadableError
from tests.documents import office

DOCX, PPTX, XLSX = (kind for kind in PARSERS if "openxml" in kind)
GOOD = office.docx(office.paragraph("good"))
ENTITY = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


def document(content: str | bytes) -> bytes:
    return office.package("word/document.xml", {"word/document.xml": content}, {})


def bomb(size: int) -> bytes:
    """A part of `size` equal letters, whose directory says that it has ten bytes."""
    raw = document(f"<w:document {office.W}><w:body>{office.paragraph('a' * size)}</w:body></w:document>")
    with zipfile.ZipFile(BytesIO(raw)) as archive:
        true_size = archive.getinfo("word/document.xml").file_size
    return raw.replace(struct.pack("<I", true_size), struct.pack("<I", 10))


def many_members(count: int) -> bytes:
    return office.packed({f"m{n}": "" for n in range(count)})


def locked() -> bytes:
    return archives.OLE_MAGIC + bytes(2000) + "EncryptedPackage".encode("utf-16-le") + bytes(500)


def flagged() -> bytes:
    """The flag of an encrypted member set everywhere."""
    raw = bytearray(GOOD)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = raw.find(mark)
        while at >= 0:
            raw[at + offset] |= 1
            at = raw.find(mark, at + 4)
    return bytes(raw)


FILES: dict[str, tuple[Callable[[], bytes], Failure]] = {
    "lying bomb": (
        lambda: bomb(5_000_000),
        Failure.CORRUPT,
    ),  # it ends after ten bytes, with a wrong checksum
    "honest bomb": (lambda: office.docx(office.paragraph("a" * 40_000_000)), Failure.TOO_LARGE_UNPACKED),
    "many members": (lambda: many_members(30_000), Failure.TOO_LARGE_UNPACKED),
    "entities": (lambda: document(f"{ENTITY}<d>&b;</d>"), Failure.UNSAFE_XML),
    "external entity": (lambda: document(f"{OUTSIDE}<d>&x;</d>"), Failure.UNSAFE_XML),
    "entities in UTF-16": (lambda: document(f"{ENTITY}<d>&b;</d>".encode("utf-16")), Failure.UNSAFE_XML),
    "deep": (lambda: office.docx("<w:sdt>" * 120 + "</w:sdt>" * 120), Failure.TOO_DEEP),
    "deeper": (lambda: office.docx("<w:p>" * 100_000 + "</w:p>" * 100_000), Failure.TOO_DEEP),
    "truncated": (lambda: GOOD[: len(GOOD) // 2], Failure.CORRUPT),
    "cut XML": (lambda: document(f"<w:document {office.W}><w:body>"), Failure.CORRUPT),
    "no main part": (lambda: office.packed({"[Content_Types].xml": "<Types/>"}), Failure.CORRUPT),
    "part missing": (lambda: office.package("word/document.xml", {}, {}), Failure.CORRUPT),
    "no zip": (lambda: b"PK\3\4 and nothing more", Failure.CORRUPT),
    "locked": (locked, Failure.ENCRYPTED),
    "locked member": (flagged, Failure.ENCRYPTED),
    "bad stream": (lambda: GOOD.replace(zlib.compress(b"")[:1], b"\xff"), Failure.CORRUPT),
    "empty": (lambda: office.docx(""), Failure.NO_TEXT),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_ends_in_its_code(tmp_path: Path, name: str) -> None:
    make, code = FILES[name]
    path = tmp_path / "upload"
    path.write_bytes(make())
    with pytest.raises(ParseFailed) as caught:
        parse(path, DOCX, limits=Limits(seconds=20, decompressed_bytes=20_000_000))
    assert caught.value.code is code


def test_a_large_directory_is_refused_unread_whatever_the_end_of_the_file_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The web server looks into archives too, to tell what they are."""
    member = b"PK\1\2\x14\0" + bytes(22) + struct.pack("<H", 1) + bytes(16) + b"a"
    directory = member * 100_000
    # In the second one a mark stands within the true end: what it seems to say of the directory's size is what that
    # says of its place.
    ends = [
        struct.pack("<4s4s2H2IH", b"PK\5\6", disks, 1, 1, len(directory), 0, 0) for disks in (b"", b"PK\5\6")
    ]
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *_: pytest.fail("the directory was read"))
    for end in ends:
        with pytest.raises(UnreadableError):
            archives.Archive(BytesIO(directory + end), budget=1_000)


def test_each_office_format_is_read_in_the_confined_child(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    for media_type, raw, text in (
        (DOCX, GOOD, "good"),
        (PPTX, office.pptx(office.shape("good")), "good"),
        (XLSX, office.xlsx({"S": office.cells(["good"])}), "S\n\n| good |"),
        ("text/html", b"<meta charset=shift_jis><p>good", "good"),
        ("text/csv", "a;b;c\nß;2;3".encode("cp1252"), "| a | b | c |\n| a: ß | b: 2 | c: 3 |"),
        ("message/rfc822", b"Subject: good\n\nmail", "Subject: good\n\nmail"),
    ):
        path.write_bytes(raw)
        assert parse(path, media_type, limits=Limits()).text == text


def test_references_that_lead_out_are_not_followed() -> None:
    outside = office._relations(
        {"r1": ("header", "../../../../etc/hostname"), "r2": ("footnotes", "http://127.0.0.1/x")}
    )
    outside = outside.replace('Target="http', 'TargetMode="External" Target="http')
    body = f"<w:document {office.W}><w:body>{office.paragraph('words')}</w:body></w:document>"
    parts = {"word/document.xml": body, "word/_rels/document.xml.rels": outside}
    assert docx.read(office.package("word/document.xml", parts, {}), Limits()).text == "words"


def test_pages_and_text_are_counted_while_they_grow() -> None:
    slides = office.pptx(*[office.shape("s")] * 4)
    sheets = office.xlsx({"S": office.cells(["word " * 100] * 10)})
    for read, raw, limits, code in (
        (pptx.read, slides, Limits(pages=3), Failure.TOO_MANY_PAGES),
        (
            xlsx.read,
            office.xlsx({"A": "", "B": "", "C": office.cells(["x"])}),
            Limits(pages=2),
            Failure.TOO_MANY_PAGES,
        ),
        (xlsx.read, sheets, Limits(characters=1_000), Failure.TOO_LARGE_TEXT),
    ):
        with pytest.raises(UnreadableError) as caught:
            read(raw, limits)
        assert caught.value.code is code


def test_characters_that_postgres_or_readers_refuse_are_replaced() -> None:
    text = docx.read(office.docx(office.paragraph("a\x7fb&#xFFFD;")), Limits()).text
    assert text == "a\ufffdb\ufffd"
