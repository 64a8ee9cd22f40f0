"""Mail (RFC 5322 and MIME): who wrote what to whom and when, the text, and the names of what was attached.

Of a text that comes plain and as HTML the plain one is kept. Attached texts, pages and tables are read, attached mails
too; of other attachments the name stands. Quoted replies stay.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.errors import HeaderParseError
from email.header import Header, decode_header
from email.message import Message
from io import BytesIO
from pathlib import Path
from typing import Final, TypeAlias

from documents import formats, sniffing
from documents.formats import html
from documents.formats.building import Builder, one_line
from documents.formats.decoding import decode, decode_labelled
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError

MEDIA_TYPE: Final = "message/rfc822"
HEADERS: Final = ("From", "To", "Cc", "Date", "Subject")
MOST_HEADER: Final = 2_000  # characters of one; a mail may go to ten thousand people
MAILS_DEEP: Final = 5  # mails within mails; of a deeper one the name stands
MOST_MULTIPARTS: Final = 1_000
# Of an attachment these end the whole mail; whatever else is wrong with one, its name stands.
_LIMITS_PASSED: Final = {Failure.TOO_LARGE_TEXT, Failure.TOO_LARGE_UNPACKED, Failure.TOO_MANY_PAGES}
_PREFIXES: Final = re.compile(r"(?:(?:re|aw|fwd?|wg|sv|antw)\s*:\s*)+", re.IGNORECASE)
_MULTIPART: Final = re.compile(rb"^content-type:[ \t]*multipart/", re.IGNORECASE | re.MULTILINE)
_LOCKED: Final = {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"}
_BLANK_LINES: Final = re.compile(r"\n\s*\n")

Mail: TypeAlias = "Message[str, str]"  # generic in the stubs alone


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The mail with its headers first; `UnreadableError` when it is locked, nested too deep or over a limit."""
    # Attachments are part of the file and mostly no text, so its size says nothing of the text's.
    return read(path.read_bytes(), limits)


def read(raw: bytes, limits: Limits, *, mails_deep: int = MAILS_DEEP) -> ParsedDocument:
    """As `parse`, of the mail's bytes; mails in it are read `mails_deep` levels down."""
    # The library parses by recursion, and looks in every line for every boundary that is open.
    if len(_MULTIPART.findall(raw)) > MOST_MULTIPARTS:
        raise UnreadableError(Failure.TOO_DEEP)
    try:
        mail = message_from_bytes(raw, policy=policy.compat32)
    except RecursionError as error:
        raise UnreadableError(Failure.TOO_DEEP) from error
    if not any(name in mail for name in (*HEADERS, "Received", "Message-ID")):
        raise UnreadableError(Failure.CORRUPT)
    return _written(mail, limits, mails_deep)


def _written(mail: Mail, limits: Limits, mails_deep: int) -> ParsedDocument:
    if mail.get_content_type() in _LOCKED and "signed" not in str(mail.get_param("smime-type") or ""):
        raise UnreadableError(Failure.ENCRYPTED)
    builder = Builder(limits)
    subject = _header(mail, "Subject")
    builder.paragraph("\n".join(f"{name}: {value}" for name in HEADERS if (value := _header(mail, name))))
    bodies: list[Mail] = []
    attached: list[Mail] = []
    _sort(mail, bodies, attached, limits.depth)
    for part in bodies:
        _body(builder, part, limits)
    names = [_name(part) for part in attached]
    builder.lines(["Attachments:", *(f"- {name}" for name in names)] if names else [], Kind.LIST)
    for part, name in zip(attached, names, strict=True):
        _attachment(builder, part, name, limits=limits, mails_deep=mails_deep)
    return builder.finish(_PREFIXES.sub("", subject, count=1) or subject)


def _sort(part: Mail, bodies: list[Mail], attached: list[Mail], depth: int) -> None:
    """Tell the parts that are the text from those that hang on it."""
    if depth < 0:
        raise UnreadableError(Failure.TOO_DEEP)
    kind = part.get_content_type()
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        children = list(_children(part))
        # Of versions of one text the plain one is kept; what hangs on another version is attached all the same.
        plain = kind == "multipart/alternative" and any(map(_is_plain, children))
        for child in children:
            _sort(child, [] if plain and not _is_plain(child) else bodies, attached, depth - 1)
    elif kind in {"text/plain", "text/html"} and not _is_attached(part):
        bodies.append(part)
    elif not _is_in_page(part):
        attached.append(part)


def _children(part: Mail) -> Iterator[Mail]:
    for child in part.get_payload():
        if isinstance(child, Message):
            yield child


def _is_plain(part: Mail) -> bool:
    return part.get_content_type() == "text/plain" and bool(_payload(part).strip())


def _is_attached(part: Mail) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _is_in_page(part: Mail) -> bool:
    """Whether it is a picture that the text shows, as logos are."""
    return part.get_content_maintype() == "image" and "Content-ID" in part


def _body(builder: Builder, part: Mail, limits: Limits) -> None:
    if part.get_content_type() == "text/html":
        _append(builder, lambda: html.read(_payload(part), limits, charset=_charset(part)), deeper=1)
        return
    raw, charset = _payload(part), _charset(part)
    text = decode_labelled(raw, charset) if charset else decode(raw)
    for paragraph in _BLANK_LINES.split(text.replace("\r\n", "\n")):
        builder.paragraph(paragraph)


def _attachment(builder: Builder, part: Mail, name: str, *, limits: Limits, mails_deep: int) -> None:
    """The text of an attachment under its name, where it has one that can be read."""
    inner = _inner_mail(part)
    if inner is not None:
        if mails_deep > 0:
            _append(builder, lambda: _written(inner, limits, mails_deep - 1), deeper=2, name=name)
        return
    raw = _payload(part)
    media_type = sniffing.detect(raw, name, file=BytesIO(raw))
    if media_type == MEDIA_TYPE:
        if mails_deep > 0:
            _append(builder, lambda: read(raw, limits, mails_deep=mails_deep - 1), deeper=2, name=name)
    elif media_type is not None:
        reader = getattr(importlib.import_module(formats.PARSERS[media_type]), "read", None)
        if reader is not None:
            _append(builder, lambda: reader(raw, limits), deeper=2, name=name)


def _append(builder: Builder, read_it: Callable[[], ParsedDocument], *, deeper: int, name: str = "") -> None:
    """Write the document under `name`; one that cannot be read is left out."""
    try:
        document = read_it()
    except UnreadableError as error:
        if error.code in _LIMITS_PASSED:
            raise
        return
    builder.heading(name, deeper)
    builder.append(document, deeper=deeper)


def _inner_mail(part: Mail) -> "Mail | None":
    """The mail that the part is, taken apart by the library; None for anything else."""
    is_mail = part.get_content_type() == MEDIA_TYPE and part.is_multipart()
    return next(_children(part), None) if is_mail else None


def _payload(part: Mail) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _charset(part: Mail) -> str:
    return part.get_content_charset() or ""


def _name(part: Mail) -> str:
    name = one_line(_words(part.get_filename() or ""))
    if not name and (inner := _inner_mail(part)) is not None:
        name = _header(inner, "Subject")
    return name[:MOST_HEADER] or part.get_content_type()


def _header(mail: Mail, name: str) -> str:
    """A header's words on one line, decoded; an empty string where there is none."""
    return one_line(_words(mail.get(name) or ""))[:MOST_HEADER]


def _words(value: str | Header) -> str:
    """Encoded words (RFC 2047) and bytes that are no ASCII as text."""
    try:
        pieces = decode_header(value[: 10 * MOST_HEADER] if isinstance(value, str) else value)
    except HeaderParseError:
        return str(value)
    return "".join(
        piece if isinstance(piece, str) else _eight_bit(piece, charset) for piece, charset in pieces
    )


def _eight_bit(piece: bytes, charset: str | None) -> str:
    """A header's bytes. Without a charset they are UTF-8 or western: a few words are too little for a guess."""
    if charset and charset != "unknown-8bit":
        return decode_labelled(piece, charset)
    return decode_labelled(piece, "cp1252")
