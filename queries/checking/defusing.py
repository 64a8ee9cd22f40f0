"""Makes an answer harmless. Its author, whether a model or a document that is quoted, is treated as an attacker.

A short chain of strict rewritings, and no parser of Markdown or HTML, because readers of the answer parse it in unknown
and different ways. Each rewriting works on a text in pieces, and its result does not depend on where the text was cut.
After the last one the text has

- no character that is invisible or changes the direction of writing,
- no citation of a source that was not given,
- no address that does not stand literally in a source,
- no `<` that begins a tag, no `&` that begins an entity, no `](` or `]:` that makes a link.
"""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from queries.checking import addresses, citations
from queries.checking.pieces import Decided, rewritten
from queries.sources import Source
from ragsite.lib.unseen import JOINERS, visible

# Only between letters of these scripts (Arabic, Indic, Burmese) are joiners part of the spelling.
_JOINED: Final = "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff"

_ENTITY = re.compile(r"&#?[A-Za-z0-9]{1,40};")
_ENTITY_BEGUN = re.compile(r"&#?[A-Za-z0-9]{0,40}\Z")
_JOINER = re.compile(rf"((?<=[{_JOINED}])[{JOINERS}](?=[{_JOINED}]))|[{JOINERS}]+")
# Markdown removes these backslashes, and what is left may be an address.
_ESCAPE = re.compile(r"(?<!\\)\\+(?=[:/.@&<])")
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

# These begin a link, a tag or an entity. A space after them prevents that in HTML and in every kind of Markdown.
_MARKUP = re.compile(r"(?:\](?=[(:])|<(?=[A-Za-z/!?])|&(?=#|[A-Za-z][A-Za-z0-9]{0,40};))")
_MARKUP_BEGUN = re.compile(r"(?:\]|<|&[A-Za-z0-9]{0,41})\Z")


def harmless(text: str, sources: Sequence[Source]) -> str:
    """The text as it may be shown."""
    return "".join(streamed([text], sources))


def streamed(text: Iterable[str], sources: Sequence[Source]) -> Iterator[str]:
    """Like `harmless`, for a text that comes in pieces: what could become a link, tag or citation is held back until it
    is complete. The result does not depend on where the text was cut."""
    known = addresses.known([source.text for source in sources], names=[source.title for source in sources])
    seen = _unescaped(_spelled(_decoded(_seen(text))))
    cited = citations.checked(_untagged(seen), {source.n for source in sources})
    return _unmarked(addresses.kept(_unmarked(cited), known))


def _seen(text: Iterable[str]) -> Iterator[str]:
    for piece in text:
        yield visible(piece)


def _decoded(text: Iterable[str]) -> Iterator[str]:
    def decode(held: str) -> str:
        return _ENTITY.sub(lambda entity: visible(html.unescape(entity[0])), held)

    return rewritten(text, _before(_ENTITY_BEGUN), decode)


def _spelled(text: Iterable[str]) -> Iterator[str]:
    """Removes joiners that are not part of the spelling: all but a single one between two letters."""
    before = held = ""  # a character that was given out, and joiners behind it
    for piece in text:
        held += piece
        cut = len(held.rstrip(JOINERS))
        if cut:
            yield _JOINER.sub(lambda found: found[1] or "", before + held[:cut])[len(before) :]
            before = held[cut - 1]
        held = held[cut:][:2]  # more than one are removed, however many they are


def _unescaped(text: Iterable[str]) -> Iterator[str]:
    """Removes backslashes that hide an address."""
    return rewritten(text, _before(_ESCAPE_BEGUN), lambda held: _ESCAPE.sub("", held))


def _untagged(text: Iterable[str]) -> Iterator[str]:
    def untag(held: str) -> str:
        return _TAG.sub(lambda tag: " " if tag["breaking"] else "", held)

    return rewritten(text, _before(_TAG_BEGUN), untag)


def _unmarked(text: Iterable[str]) -> Iterator[str]:
    return rewritten(text, _before(_MARKUP_BEGUN), lambda held: _MARKUP.sub(r"\g<0> ", held))


def _before(begun: re.Pattern[str]) -> Decided:
    """Decides on all of a text but a match of `begun` at its end."""

    def decided(text: str) -> int:
        found = begun.search(text)
        return len(text) if found is None else found.start()

    return decided
