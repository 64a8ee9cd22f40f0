"""What PDFium's text needs before it can be stored: no control characters, ligatures spelled out, broken words whole."""

import re
from typing import Final

from documents.formats.pdf_columns import HYPHEN, Line

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ufeff]")
_SURROGATE_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BROKEN: Final = re.compile(rf"([^\W_]*){HYPHEN}+([^\W_]*)")
_LIGATURES: Final = {
    0xFB00 + n: letters for n, letters in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"))
}


def clean(text: str, keep: str = "") -> str:
    """`text` without control characters (but those in `keep`) and unpaired surrogates, with ligatures spelled out."""
    if text.isascii() and text.isprintable():
        return text  # nearly every line
    text = _SURROGATE_PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    text = _SURROGATE.sub("\ufffd", text)
    text = text.replace("\x02", HYPHEN).replace("\t", " ").replace("\xa0", " ")
    return _CONTROL.sub(lambda mark: mark[0] if mark[0] in keep else "", text).translate(_LIGATURES)


def mend_hyphens(pages: list[list[Line]]) -> None:
    """Join the words broken at line ends, keeping a hyphen that belongs to the word.

    It belongs when a capital or a digit follows, or when the document elsewhere writes the word with it and never without.
    """
    broken = [line for lines in pages for line in lines if HYPHEN in line.text]
    if not broken:
        return
    words = {word.lower() for lines in pages for line in lines for word in _WORD.findall(line.text)}
    for line in broken:
        line.text = _BROKEN.sub(lambda match: _mended(match[1], match[2], words), line.text)


def _mended(head: str, tail: str, words: set[str]) -> str:
    joined, hyphened = head + tail, f"{head}-{tail}"
    own_hyphen = hyphened.lower() in words and joined.lower() not in words
    if not tail or not tail[0].islower() or own_hyphen:
        return hyphened
    return joined
