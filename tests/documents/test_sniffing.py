import time
from io import BytesIO

import pytest

from documents.sniffing import OLD_OFFICE, UNSUPPORTED, detect, why_not
from tests.documents import office

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.mark.parametrize(
    ("head", "filename", "media_type"),
    [
        (b"%PDF-1.7\n\xe2\xe3", "a.pdf", "application/pdf"),
        (b"%PDF-1.7\n", "notes.txt", "application/pdf"),
        (b"junk before\n" * 20 + b"%PDF-1.4\n\0\1", "scan", "application/pdf"),
        (b"plain words", "a.txt", "text/plain"),
        (b"plain words", "report.pdf", "text/plain"),
        (b"# Title", "README.MD", "text/markdown"),
        (b"# Title", "a.markdown", "text/markdown"),
        (b"no suffix", "", "text/plain"),
        ("Größe".encode("cp1252"), "alt.txt", "text/plain"),
        ("text".encode("utf-16"), "wide.txt", "text/plain"),
        ("# text".encode("utf-32"), "wide.md", "text/markdown"),
        (b'{"a": 1}', "a.json", "text/plain"),
        (b"\x1b[31mred\x1b[0m log\n", "run.log", "text/plain"),
        (b"<!DOCTYPE html><p>", "a.txt", "text/html"),
        (b"  <html>", "a.md", "text/html"),
        (b"<!-- made -->\n<?xml version='1.0'?><!DOCTYPE html PUBLIC 'x'>", "a", "text/html"),
        ("<html>Gr\u00f6\u00dfe".encode("utf-16"), "a.htm", "text/html"),
        (b"<p>a fragment", "a.html", "text/html"),
        (b"no tags", "a.html", "text/plain"),
        (b"# use <p> in HTML", "a.md", "text/markdown"),
        (b"a,b\n1,2", "a.csv", "text/csv"),
        (b"a\tb\n1\t2", "a.tsv", "text/csv"),
        (b"a,b\n1,2", "a.txt", "text/plain"),
        (b"words, and no table\nat all\nhere", "a.csv", "text/plain"),
        (b"From: a@b", "a.eml", "message/rfc822"),
        (b"Received: x\r\nFrom: a\r\n b\r\nMIME-Version: 1.0\r\n\r\nbody", "saved", "message/rfc822"),
        (b"From: Ann\nTo: Bob\nSubject: a note\n\nwords", "note.txt", "text/plain"),
        (b"just words", "a.eml", "text/plain"),
    ],
)
def test_content_decides_and_the_name_only_tells_kinds_of_text_apart(
    head: bytes, filename: str, media_type: str
) -> None:
    assert detect(head, filename) == media_type


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        (PNG, "a.pdf"),
        (PNG, "a.txt"),
        (b"PK\x03\x04\x14\0", "a.docx"),
        (b"PK\x03\x04 %PDF-1.7 stored in a zip", "a.pdf"),
        (b"\x7fELF\x02", "a.md"),
        (b"MZ\x90\0", "a.txt"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "a.doc"),
        (b"\x1f\x8b\x08", "a.txt"),
        (b"text with \0 inside", "a.txt"),
        (bytes(range(1, 256)), "a.txt"),
        (b"<feed/>", "a.xml"),
        (b"From a@b Mon", "a.mbox"),
        (b"x" * 2000 + b"\0%PDF-1.7", "a.pdf"),
    ],
)
def test_what_no_parser_reads_is_refused(head: bytes, filename: str) -> None:
    assert detect(head, filename) is None


def test_only_the_head_is_looked_at() -> None:
    assert detect(b"a" * 8192 + b"\0" * 10, "a.txt") == "text/plain"


def test_an_empty_file_is_text_and_left_to_the_parser() -> None:
    assert detect(b"", "empty.txt") == "text/plain"


@pytest.mark.parametrize(
    "filename", ["../../etc/passwd.md", "a\0.md", "x" * 10_000 + ".md", ".md", "a/b.md "]
)
def test_strange_names_do_no_harm(filename: str) -> None:
    assert detect(b"text", filename) in {"text/plain", "text/markdown"}


DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
LOCKED = OLE + bytes(1_100_000) + "EncryptedPackage".encode("utf-16-le")


def types(name: str) -> bytes:
    return office.packed(
        {"[Content_Types].xml": f'<Override ContentType="application/vnd.{name}.main+xml"/>'}
    )


@pytest.mark.parametrize(
    ("raw", "filename", "media_type"),
    [
        (office.docx(""), "a.pdf", DOCX),
        (office.pptx(), "a.docx", PPTX),
        (office.xlsx({}), "upload", XLSX),
        (types("ms-word.document.macroEnabled"), "a.docm", DOCX),
        (types("openxmlformats-officedocument.presentationml.slideshow"), "a.ppsx", PPTX),
        (types("ms-excel.sheet.binary.macroEnabled"), "a.xlsb", None),
        (types("oasis.opendocument"), "a.docx", None),
        (office.packed({"a.txt": "words"}), "a.docx", None),
        (office.docx("")[:200], "a.docx", DOCX),  # cut off: its parser says that it is damaged
        (office.docx("")[:200], "a.txt", None),
        (office.packed({"[Content_Types].xml": "a" * 2_000_000}), "a.txt", None),
        (LOCKED, "a.xlsx", XLSX),
        (LOCKED, "a", DOCX),
        (OLE + bytes(3000), "a.docx", None),
    ],
)
def test_an_office_file_is_told_by_its_parts(raw: bytes, filename: str, media_type: str | None) -> None:
    file = BytesIO(raw)
    file.seek(5)
    assert detect(raw[:100], filename, file=file) == media_type
    assert file.tell() == 5


def test_old_office_files_are_refused_with_advice() -> None:
    assert why_not(OLE + b"doc") == OLD_OFFICE
    assert why_not(PNG) == UNSUPPORTED


def test_a_hostile_beginning_takes_no_time() -> None:
    begun = time.process_time()
    for raw in (
        b"<!-- -->" * 1_000 + b"x",
        b"<!--" * 2_000,
        b" " * 8_000,
        b"a" * 8_000 + b",",
        b"x:" * 4_000,
        b'"' * 8_000,
    ):
        for name in ("a.html", "a.csv", "a.eml"):
            detect(raw, name)
    slow = office.packed({"[Content_Types].xml": '"' + ".word.a" * 100_000})
    assert detect(slow, "a.docx", file=BytesIO(slow)) is None
    assert time.process_time() - begun < 3
