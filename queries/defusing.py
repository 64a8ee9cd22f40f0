"""An answer made harmless. Whoever wrote it, a model or a document that is quoted, is taken for an attacker.

A short chain of strict rewritings, and no parser of Markdown or HTML: what reads the answer in the end is not known,
and each reads them differently. Each rewriting takes a text in pieces and gives the same text however it was cut.
After the last one there is in the text

- no character that is not seen or turns the direction of writing,
- no citation of a source that was not given,
- no address that does not stand literally in a source,
- no `<` that begins a tag, no `&` that begins an entity, no `](` or `]:` that makes a link.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from queries import addresses, citations
from queries.pieces import Decided, rewritten
from queries.sources import Source

_WHITE: Final = "\t\n"
_AS_SPACE: Final = frozenset("\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029\u2800")
# Not seen, though Unicode counts them as letters or marks; by the selectors of variants whole texts are smuggled.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Signs of Arabic, Syriac and Kaithi that are seen, though Unicode counts them as format.
_SEEN = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2\U000110bd")
# These two, which are not seen, belong to the spelling between letters of Arabic, Indic and Burmese scripts alone.
_JOINERS: Final = "\u200c\u200d"
_JOINED: Final = "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff"

_ENTITY = re.compile(r"&#?[A-Za-z0-9]{1,40};")
_ENTITY_BEGUN = re.compile(r"&#?[A-Za-z0-9]{0,40}\Z")
_JOINER = re.compile(rf"([{_JOINED}][{_JOINERS}])(?=[{_JOINED}])|[{_JOINERS}]")
_JOINER_BEGUN = re.compile(rf"(?:[{_JOINED}]|(?<![{_JOINERS}]))[{_JOINERS}]*\Z")
_ESCAPE = re.compile(
    r"(?<!\\)\\+(?=[:/.@&<])"
)  # Markdown takes the backslash away, and what is left is an address
_ESCAPE_BEGUN = re.compile(r"(?<!\\)\\+\Z")

_BREAKING = (
    "address|article|blockquote|br|dd|div|dl|dt|h[1-6]|hr|li|ol|p|pre|section|table|tbody|td|th|thead|tr|ul"
)
_OTHER = (
    "a|abbr|applet|area|audio|b|base|bdi|bdo|big|body|button|canvas|center|cite|code|del|details|dialog|em|embed|font"
    "|footer|form|frame|frameset|head|header|html|i|iframe|img|input|ins|kbd|label|link|main|map|mark|marquee|math|meta"
    "|nav|noscript|object|option|param|picture|portal|q|s|samp|script|select|slot|small|source|span|strike|strong"
    "|style|sub|summary|sup|svg|template|textarea|title|track|u|use|var|video|xmp"
)
_TAG = re.compile(
    rf"<(?=[^<>]{{1,1000}}>)(?:(?P<breaking>/?(?:{_BREAKING})(?=[\s/>]))|/?(?:{_OTHER})(?=[\s/>])|[!?])[^<>]*>",
    re.IGNORECASE,
)
_TAG_BEGUN = re.compile(r"<(?:[A-Za-z/!?][^<>]{0,999})?\Z")

# What would begin something gets a space behind it, which ends that in HTML and in every kind of Markdown.
_MARKUP = re.compile(r"(?:\](?=[(:])|<(?=[A-Za-z/!?])|&(?=#|[A-Za-z][A-Za-z0-9]{0,40};))")
_MARKUP_BEGUN = re.compile(r"(?:\]|<|&[A-Za-z0-9]{0,41})\Z")


def harmless(text: str, sources: Sequence[Source]) -> str:
    """The text as it may be shown."""
    return "".join(streamed([text], sources))


def streamed(text: Iterable[str], sources: Sequence[Source]) -> Iterator[str]:
    """The same of a text that comes in pieces: what could become a link, a tag or a citation is held back until it is
    known what it is. However the text was cut, the pieces that come out make up the same text."""
    known = addresses.known([source.text for source in sources], names=[source.title for source in sources])
    seen = _undone(_decoded(_seen(text)))
    cited = citations.checked(_untagged(seen), {source.n for source in sources})
    return _unmarked(addresses.kept(_unmarked(cited), known))


def _seen(text: Iterable[str]) -> Iterator[str]:
    for piece in text:
        yield _visible(piece)


def _visible(text: str) -> str:
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    """The character, nothing, or a space. Joiners stay here: it takes their neighbours to judge them."""
    if character in _WHITE or character in _SEEN or character in _JOINERS:
        return character
    if character in _AS_SPACE:
        return " "
    unseen = unicodedata.category(character).startswith("C") or _UNSEEN.match(character)
    return "" if unseen else character


def _decoded(text: Iterable[str]) -> Iterator[str]:
    def decode(held: str) -> str:
        return _ENTITY.sub(lambda entity: _visible(html.unescape(entity[0])), held)

    return rewritten(text, _before(_ENTITY_BEGUN), decode)


def _undone(text: Iterable[str]) -> Iterator[str]:
    """Without joiners where none belongs, and without the backslashes that hide an address."""
    spelled = rewritten(
        text, _before(_JOINER_BEGUN), lambda held: _JOINER.sub(lambda found: found[1] or "", held)
    )
    return rewritten(spelled, _before(_ESCAPE_BEGUN), lambda held: _ESCAPE.sub("", held))


def _untagged(text: Iterable[str]) -> Iterator[str]:
    def untag(held: str) -> str:
        return _TAG.sub(lambda tag: " " if tag["breaking"] else "", held)

    return rewritten(text, _before(_TAG_BEGUN), untag)


def _unmarked(text: Iterable[str]) -> Iterator[str]:
    return rewritten(text, _before(_MARKUP_BEGUN), lambda held: _MARKUP.sub(r"\g<0> ", held))


def _before(begun: re.Pattern[str]) -> Decided:
    """All of a text but what has begun at its end."""

    def decided(text: str) -> int:
        found = begun.search(text)
        return len(text) if found is None else found.start()

    return decided
