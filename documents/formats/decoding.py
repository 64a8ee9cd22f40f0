"""From the bytes of a text file to its characters, without ever failing on a strange encoding."""

import codecs
import re
from pathlib import Path
from typing import Final

from charset_normalizer import from_bytes

from documents.structure import Failure, Limits, UnreadableError

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
# The UTF-32 mark begins with the UTF-16 one, so the longer ones are tried first.
BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARKS: Final = tuple(mark for mark, _ in BYTE_ORDER_MARKS)
SAMPLE_BYTES: Final = (
    64 * 1024
)  # what the encoding is guessed from: that is slow, and more bytes tell little more
DAMAGE_TOLERATED: Final = 0.1  # broken sequences for each whole one, up to which a file is damaged UTF-8
# The letters and marks of western Europe in Windows-1252. A general guess takes short French for Czech.
WESTERN: Final = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœ€£§©®°«»¿¡·•™…—“”„\xa0"
    "\N{EN DASH}\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
)
WESTERN_SHARE: Final = 0.25  # of the bytes, at most: Cyrillic and Greek have more above ASCII
# Wider twins of charsets, under whose names text is written.
_SUPERSETS: Final = {
    "iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "big5": "big5hkscs",
}  # fmt: skip
_BROWSERS_NAMES: Final = {
    "x-sjis": "cp932", "windows-31j": "cp932", "x-gbk": "gb18030", "ks_c_5601-1987": "cp949", "windows-949": "cp949",
    "x-euc-jp": "euc_jp", "x-mac-roman": "mac_roman", "macintosh": "mac_roman", "unicode": "utf-8",
    "utf-16": "utf-8", "utf-16le": "utf-8", "utf-16be": "utf-8",  # read as ASCII so far, it cannot be UTF-16
    "windows-874": "cp874", "iso-8859-8-i": "iso8859-8", "visual": "iso8859-8", "cp-850": "cp850",
}  # fmt: skip
# Those whose bytes are all ASCII, and those that a stranger's label shall not choose.
_SEVEN_BITS: Final = {
    "iso2022_jp",
    "iso2022_jp_2",
    "iso2022_jp_1",
    "iso2022_jp_3",
    "iso2022_jp_ext",
    "iso2022_kr",
    "hz",
    "utf-7",
}
_UNTRUSTED: Final = {
    "idna",
    "punycode",
    "unicode_escape",
    "raw_unicode_escape",
    "undefined",
    "mbcs",
    "oem",
    "unicode-escape",
    "raw-unicode-escape",
}
_HIGH: Final = re.compile(rb"[\x80-\xff]")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def read_text(path: Path, limits: Limits) -> str:
    """The file's characters; raises `UnreadableError` for more than `limits.characters` of them, or no visible one."""
    check_size(path.stat().st_size, limits)
    return checked(decode(path.read_bytes()), limits)


def check_size(size: int, limits: Limits) -> None:
    """Raise `UnreadableError` for a file of so many bytes that its text must be too long."""
    if size > 4 * limits.characters + 4:  # no encoding needs more than 4 bytes a character
        raise UnreadableError(Failure.TOO_LARGE_TEXT)


def checked(text: str, limits: Limits) -> str:
    """`text`; raises `UnreadableError` when it is longer than `limits.characters` or shows nothing."""
    if len(text) > limits.characters:
        raise UnreadableError(Failure.TOO_LARGE_TEXT)
    if not text.strip():
        raise UnreadableError(Failure.NO_TEXT)
    return text


def decode(raw: bytes) -> str:
    """`raw` as text: a byte order mark decides and is left out, then UTF-8, then a guess.

    Line ends stay as they are. NUL and lone surrogates become U+FFFD one for one: Postgres stores neither.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return storable(_decode_as(raw[len(mark) :], encoding))
    try:
        return storable(raw.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        pass
    damaged = raw.decode("utf-8", "replace")
    whole = sum(character > "\x7f" for character in damaged[:SAMPLE_BYTES])
    broken = damaged.count(REPLACEMENT, 0, SAMPLE_BYTES)
    if broken <= DAMAGE_TOLERATED * (whole - broken):
        return storable(damaged)
    return storable(raw.decode(_guess(raw), "replace"))


def decode_labelled(raw: bytes, label: str) -> str:
    """`raw` in the charset that its page or mail names, unless the bytes tell otherwise: labels are often wrong.

    A byte order mark and whole UTF-8 count above the label; one that damages the text counts for nothing.
    """
    if label.lower().startswith("utf-16") and b"\0" in raw and not raw.startswith(MARKS):
        return storable(_decode_as(raw, "utf-16-be" if raw[:1] == b"\0" else "utf-16-le"))
    encoding = _encoding_of(label) or "utf-8"
    if encoding == "utf-8" or raw.startswith(MARKS):
        return decode(raw)
    if encoding not in _SEVEN_BITS and not raw.isascii():
        try:
            return storable(raw.decode("utf-8"))
        except UnicodeDecodeError:
            pass
    text = raw.decode(encoding, "replace")
    damage = text.count(REPLACEMENT, 0, SAMPLE_BYTES)
    return storable(text) if damage <= DAMAGE_TOLERATED * min(len(text), SAMPLE_BYTES) else decode(raw)


def storable(text: str) -> str:
    """`text` of the same length with what Postgres refuses replaced by U+FFFD."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def _encoding_of(label: str) -> str | None:
    """Python's name of a charset, as browsers take it (WHATWG Encoding, 4.2), or None for one that is not of text."""
    label = label.strip().strip("\"'").lower()
    try:
        name = codecs.lookup(_BROWSERS_NAMES.get(label, label)).name
        "".encode(name)  # raises LookupError for rot13, base64 and the like
    except (LookupError, ValueError):
        return None
    return None if name in _UNTRUSTED else _SUPERSETS.get(name, name)


def _decode_as(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode(encoding, "replace")


def _guess(raw: bytes) -> str:
    """The likeliest single-byte or East Asian encoding; Windows-1252 when nothing is likely."""
    # The sample begins shortly before the first byte above ASCII, which may be far into the file.
    found = _HIGH.search(raw)
    start = max(0, found.start() - SAMPLE_BYTES // 4) if found else 0
    sample = raw[start : start + SAMPLE_BYTES]
    if _is_western(sample):
        return "cp1252"
    best = from_bytes(sample, enable_fallback=False).best()
    return best.encoding if best is not None else "cp1252"


def _is_western(sample: bytes) -> bool:
    high = b"".join(_HIGH.findall(sample))
    return len(high) <= WESTERN_SHARE * len(sample) and WESTERN.issuperset(high.decode("cp1252", "replace"))
