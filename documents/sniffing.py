"""What a file is, by its content. A declared Content-Type is never asked, and a name only tells kinds of text apart."""

import codecs
from pathlib import PurePath
from typing import Final

HEAD_BYTES: Final = 8192  # what `detect` wants to see of a file
PDF_WINDOW: Final = 1024  # readers accept a PDF's signature anywhere in its first 1,024 bytes

_TEXT_MARKS: Final = (
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_LE,
    codecs.BOM_UTF32_BE,
)
# Signatures without a NUL byte nearby, or with one only by chance; whatever holds a NUL is refused anyway.
_BINARY_MAGIC: Final = (
    b"PK\x03\x04",  # zip, and so docx, xlsx, pptx, odt, epub
    b"PK\x05\x06",
    b"\x1f\x8b",  # gzip
    b"BZh",
    b"\xfd7zXZ",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a",
    b"\x28\xb5\x2f\xfd",  # zstandard
    b"\x89PNG",
    b"\xff\xd8\xff",  # jpeg
    b"GIF87a",
    b"GIF89a",
    b"RIFF",
    b"OggS",
    b"ID3",
    b"fLaC",
    b"\x7fELF",
    b"MZ\x90",
    b"\xd0\xcf\x11\xe0",  # OLE: doc, xls, ppt, msg
    b"\xca\xfe\xba\xbe",
    b"\xed\xab\xee\xdb",
    b"SQLite format 3",
    b"{\\rtf",
    b"%!PS",
)
_MARKDOWN_NAMES: Final = {".md", ".markdown", ".mdown", ".mkd"}
# Text that another kind of parser must take apart: as plain text its markup would drown its words. Source code, logs,
# JSON and YAML are honest as they are and pass as plain text.
_OTHER_TEXT_NAMES: Final = {
    ".html", ".htm", ".xhtml", ".xml", ".svg", ".csv", ".tsv", ".eml", ".mbox", ".rtf", ".ps", ".ipynb",
}  # fmt: skip
# Control characters that text does hold: BEL to CR, escape (colours in logs), and ^Z, the end of old DOS files.
_TEXT_CONTROLS: Final = {*range(7, 14), 0x1A, 0x1B}
CONTROLS_TOLERATED: Final = 0.02  # of the bytes; more is no text in any encoding


def detect(head: bytes, filename: str) -> str | None:
    """The media type to parse a file as, or None when it is not supported.

    `head`: the file's first `HEAD_BYTES` bytes, or all of them. `filename`: what the uploader called it.
    A PDF named .txt is a PDF, and a PNG named .pdf is refused.
    """
    head = head[:HEAD_BYTES]
    if b"%PDF-" in head[:PDF_WINDOW] and not head.startswith(_BINARY_MAGIC):
        return "application/pdf"
    if not _is_text(head):
        return None
    suffix = PurePath(filename.replace("\0", "")).suffix.lower()
    if suffix in _OTHER_TEXT_NAMES or _is_html(head):
        return None
    return "text/markdown" if suffix in _MARKDOWN_NAMES else "text/plain"


def _is_text(head: bytes) -> bool:
    if head.startswith(_TEXT_MARKS):
        return True
    if b"\0" in head or head.startswith(_BINARY_MAGIC):
        return False
    controls = sum(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head)
    return controls <= CONTROLS_TOLERATED * len(head)


def _is_html(head: bytes) -> bool:
    return head.lstrip().lower().startswith((b"<!doctype html", b"<html"))
