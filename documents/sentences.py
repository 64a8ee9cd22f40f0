"""Where sentences begin and end. In time linear in the text, whatever the text."""

import re
from typing import Final

_ABBREVIATIONS: Final = frozenset(
    """
    adm al approx apr art aug ave ca cap capt cf ch chap co col corp dec dept dr ed eds eq eqs esp est etc feb fig figs
    gen gov govt hon inc jan jr jul jun lt ltd maj mar max messrs min mr mrs ms mt no nos nov oct op pp prof pt pvt ref
    refs rep rev sec sen sep sept sgt sr st univ viz vol vols vs
    """.split(),  # noqa: SIM905  # a paragraph of words reads better than a hundred quoted strings
)

_CLOSERS = "\"'”’»)\\]"
_LIST_ITEM = r"(?:[-*+•‣◦–—]|\(?\d{1,3}[.)]|\(?[A-Za-z][.)])[^\S\n]"
# Each alternative is bounded or stops at its own newline: nothing to backtrack over.
_BOUNDARY = re.compile(
    rf"(?P<stop>[.!?…])(?:[.!?…]|[{_CLOSERS}]){{0,6}}(?=\s)"
    r"|[。！？｡।॥]"
    rf"|\n+(?=[^\S\n]{{0,40}}(?:\n|\r|[#|]|{_LIST_ITEM}))"
    r"|(?<=[|\t])[^\S\n]{0,40}\n",
)


def spans(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """The sentences of `text[start:end]`, as (start, end) in `text`, without outer white space, none empty.

    List items, table rows and headings in Markdown are sentences of their own; a line break inside a paragraph
    is not an end; neither is a full stop after an abbreviation, an initial or inside a number.
    """
    stop = len(text) if end is None else end
    found: list[tuple[int, int]] = []
    begin = start
    for match in _BOUNDARY.finditer(text, start, stop):
        if _ends_sentence(text, match):
            _append(found, text, begin, match.end())
            begin = match.end()
    _append(found, text, begin, stop)
    return found


def _append(found: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    stripped = piece.strip()
    if stripped:
        first = start + len(piece) - len(piece.lstrip())
        found.append((first, first + len(stripped)))


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    if match["stop"] != ".":
        return True
    at = match.start()
    if at == 0 or text[at - 1].isspace():
        return True  # "text ." with the stop set apart, as in old typescripts
    word = text[max(0, at - 24) : at].rsplit(maxsplit=1)[-1].lstrip("([\"'“‘")
    following = text[match.end() : match.end() + 8].lstrip()[:1]
    return not _is_abbreviation(word, following)


def _is_abbreviation(word: str, following: str) -> bool:
    if word.casefold() in _ABBREVIATIONS:
        # "No." and "Co." also end sentences, before a capital: before a digit or a small letter they do not.
        return True
    if "." in word and len(word) <= 6:
        return not following.isupper()  # "e.g. the", "U.S. army"; "the U.S. It" is an end
    return len(word) == 1 and word.isalpha() and word.isupper()  # an initial
