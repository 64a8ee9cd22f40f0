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
SAMPLE_BYTES: Final = (
    64 * 1024
)  # what the encoding is guessed from: guessing is slow, and more bytes tell little more
DAMAGE_TOLERATED: Final = 0.1  # broken sequences for each whole one, up to which a file is damaged UTF-8
# The letters and marks of western Europe in Windows-1252. A general guess takes short French for Czech.
WESTERN: Final = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœ€£§©®°«»¿¡·•™…—“”„\xa0"
    "\N{EN DASH}\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
)
WESTERN_SHARE: Final = 0.25  # of the bytes, at most: Cyrillic and Greek have more above ASCII
_HIGH: Final = re.compile(rb"[\x80-\xff]")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def read_text(path: Path, limits: Limits) -> str:
    """The file's characters; raises `UnreadableError` when there are more than `limits.characters` or no visible one."""
    if path.stat().st_size > 4 * limits.characters + 4:  # no encoding needs more than 4 bytes a character
        raise UnreadableError(Failure.TOO_LARGE_TEXT)
    text = decode(path.read_bytes())
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


def storable(text: str) -> str:
    """`text` of the same length with what Postgres refuses replaced by U+FFFD."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


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
