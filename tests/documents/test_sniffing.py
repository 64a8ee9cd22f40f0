import pytest

from documents.sniffing import detect

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
        (b"<!DOCTYPE html><p>", "a.txt"),
        (b"  <html>", "a.md"),
        (b"a,b\n1,2", "a.csv"),
        (b"<p>", "a.html"),
        (b"From: a@b", "a.eml"),
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
