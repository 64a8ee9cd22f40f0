"""What a file is, by its content. A declared Content-Type is never asked, and a name only tells kinds of text apart."""

import re
from email.parser import BytesHeaderParser
from io import BytesIO
from pathlib import PurePath
from typing import IO, Final

from documents.formats import csv
from documents.formats.archives import OLE_MAGIC, Archive
from documents.formats.decoding import MARKS, decode
from documents.structure import UnreadableError

HEAD_BYTES: Final = 8192  # what `detect` wants to see of a file
UNSUPPORTED: Final = (
    "Only text, Markdown, PDF, Word (.docx), PowerPoint (.pptx), Excel (.xlsx), HTML, CSV and mail (.eml) are read, "
    "told by their content."
)
OLD_OFFICE: Final = (
    "Files of Office 2003 and earlier (.doc, .xls, .ppt) are not read. "
    "Save a copy as .docx, .xlsx or .pptx and upload that."
)
PDF_WINDOW: Final = 1024  # readers accept a PDF's signature anywhere in its first 1,024 bytes

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
_ZIP: Final = b"PK\x03\x04"
_OLE_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")  # the stream that holds a locked Office file
_CONTENT_TYPES: Final = "[Content_Types].xml"
_CONTENT_TYPES_BYTES: Final = 2**20
_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_DOCX: Final = f"{_OFFICE}.wordprocessingml.document"
_PPTX: Final = f"{_OFFICE}.presentationml.presentation"
_XLSX: Final = f"{_OFFICE}.spreadsheetml.sheet"
# What the main part of a document, a template, a show, or one of them with macros is called. Macros are not looked at.
_MAIN_PART: Final = re.compile(
    rb"""["'][^"']{0,80}\.(?:ms-)?"""
    rb"(word|wordprocessingml|excel|spreadsheetml|powerpoint|presentationml)"
    rb"""\.[A-Za-z.]{1,40}\.main\+xml["']"""
)
_BY_APPLICATION: Final = {b"word": _DOCX, b"exce": _XLSX, b"spre": _XLSX, b"powe": _PPTX, b"pres": _PPTX}
_BY_NAME: Final = {
    ".docx": _DOCX,
    ".docm": _DOCX,
    ".xlsx": _XLSX,
    ".xlsm": _XLSX,
    ".pptx": _PPTX,
    ".pptm": _PPTX,
}
_PIECE_BYTES: Final = 2**20
_HTML_BEGINNING: Final = re.compile(
    r"(?>\s|<!--.*?-->|<\?xml[^>]*>)*+<(?:!doctype\s+html|html|head|body|title|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
_HTML_TAG: Final = re.compile(
    r"</?(?:a|b|br|blockquote|center|div|em|font|h[1-6]|i|img|li|ol|p|pre|section|span|strong|table|td|tr|ul)\b[^<>]*>",
    re.IGNORECASE,
)
_HTML_NAMES: Final = {".html", ".htm", ".xhtml", ".xht"}
_MAIL_HEADERS: Final = {
    "from", "to", "cc", "subject", "date", "message-id", "mime-version", "received", "return-path", "delivered-to",
    "content-type", "reply-to", "sender", "x-mailer",
}  # fmt: skip
# Those that programs write, and nobody above a note of a conversation.
_MAIL_PROOF: Final = {"message-id", "mime-version", "received"}
_MARKDOWN_NAMES: Final = {".md", ".markdown", ".mdown", ".mkd"}
# Text that another kind of parser must take apart: as plain text its markup would drown its words. Source code, logs,
# JSON and YAML are honest as they are and pass as plain text.
_OTHER_TEXT_NAMES: Final = {
    ".xml", ".svg", ".mbox", ".rtf", ".ps", ".ipynb",
}  # fmt: skip
# Control characters that text does hold: BEL to CR, escape (colours in logs), and ^Z, the end of old DOS files.
_TEXT_CONTROLS: Final = {*range(7, 14), 0x1A, 0x1B}
CONTROLS_TOLERATED: Final = 0.02  # of the bytes; more is no text in any encoding


def detect(head: bytes, filename: str, *, file: IO[bytes] | None = None) -> str | None:
    """The media type to parse a file as, or None when it is not supported (`why_not` says why).

    `head`: the file's first `HEAD_BYTES` bytes, or all of them. `filename`: what the uploader called it. `file`: all of
    it, for what only its inside tells; left where it stands.
    A PDF named .txt is a PDF, and a PNG named .pdf is refused.
    """
    head = head[:HEAD_BYTES]
    if head.startswith((_ZIP, OLE_MAGIC)):
        return _container_type(file or BytesIO(head), filename)
    if b"%PDF-" in head[:PDF_WINDOW] and not head.startswith(_BINARY_MAGIC):
        return "application/pdf"
    return _text_type(head, _suffix(filename)) if _is_text(head) else None


def why_not(head: bytes) -> str:
    """What to tell the uploader of a file that `detect` does not know."""
    return OLD_OFFICE if head.startswith(OLE_MAGIC) else UNSUPPORTED


def _suffix(filename: str) -> str:
    return PurePath(filename.replace("\0", "")).suffix.lower()


def _container_type(file: IO[bytes], filename: str) -> str | None:
    """An Office file, told by its parts; a locked one shows nothing but that it is one, so that its name must do."""
    position, named = file.tell(), _BY_NAME.get(_suffix(filename))
    file.seek(0)
    head = file.read(HEAD_BYTES)
    try:
        if head.startswith(OLE_MAGIC):
            return named or _DOCX if _holds(file, _OLE_ENCRYPTED) else None
        content_types = Archive(file, budget=_CONTENT_TYPES_BYTES).read(_CONTENT_TYPES)
    except UnreadableError:
        # A copy that was cut off lacks the zip's directory, which is its end. Its parser will say that it is damaged.
        return named if _CONTENT_TYPES.encode() in head else None
    finally:
        file.seek(position)
    main = _MAIN_PART.search(content_types)
    if main is None or b".binary." in main[0]:  # .xlsb, whose parts are no XML
        return None
    return _BY_APPLICATION[main[1][:4]]


def _holds(file: IO[bytes], wanted: bytes) -> bool:
    """Whether `wanted` stands in the file."""
    file.seek(0)
    kept = b""
    while piece := file.read(_PIECE_BYTES):
        if wanted in kept + piece:
            return True
        kept = piece[-len(wanted) :]
    return False


def _text_type(head: bytes, suffix: str) -> str | None:
    text = decode(head)
    if suffix in _OTHER_TEXT_NAMES:
        return None
    if _HTML_BEGINNING.match(text) or (suffix in _HTML_NAMES and _HTML_TAG.search(text)):
        return "text/html"
    if _is_mail(head, suffix):
        return "message/rfc822"
    if suffix in {".csv", ".tsv"} and csv.is_table(text):
        return "text/csv"
    return "text/markdown" if suffix in _MARKDOWN_NAMES else "text/plain"


def _is_mail(head: bytes, suffix: str) -> bool:
    """Whether a file begins with a mail's headers: under the name of a mail any of them will do."""
    found = [name.lower() for name in BytesHeaderParser().parsebytes(head).keys()]  # noqa: SIM118 - it is no dict
    known = _MAIL_HEADERS.intersection(found)
    if suffix == ".eml":
        return bool(known)
    return len(known) >= 3 and bool(_MAIL_PROOF & known) and found[0] in _MAIL_HEADERS | {"dkim-signature"}


def _is_text(head: bytes) -> bool:
    if head.startswith(MARKS):
        return True
    if b"\0" in head or head.startswith(_BINARY_MAGIC):
        return False
    controls = sum(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head)
    return controls <= CONTROLS_TOLERATED * len(head)
