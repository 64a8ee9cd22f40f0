"""Removes addresses from an answer that stand in no source.

An address is whatever a reader's program may turn into a link: anything with a scheme, `www.`, a mail address, a
share's `\\\\host`, a domain with a path. A domain alone (or what looks like one, such as "end.Next") gets a space after
its dots, and then no program turns it into a link.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

REMOVED = "(address removed)"
# A longer run without a space is no word. It may be a picture's data or worse, and is removed whole.
LONGEST = 2_000

# Scripts that are written without spaces, and full-width characters: an address ends where they begin.
APART = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U000323af"
_RUN = re.compile(rf"[^\s<\[|{APART}]+")
_PART = re.compile(rf"{_RUN.pattern}|\s+|[<\[|{APART}]")
_BEHIND = ".,;:!?…'\"”’»)]}>*_~`"  # what closes a sentence or a bracket behind an address
_ENDS = re.compile(r"[)\]}>\"'”’»*`]")

_OPAQUE = (
    "(?:javascript|vbscript|livescript|mailto|tel|sms|xmpp|callto|skype|facetime|intent|blob|about|magnet):"
)
_HOST = r"(?:[\w-]{1,63}\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?!\w)"
_ADDRESS = re.compile(
    rf"""
      [a-z][a-z0-9+.-]{{0,30}}:(?=[/\\]{{2}})
    | (?:https?|ftps?|wss?|file):(?=[/\\])
    | {_OPAQUE}(?=\S)
    | data:(?=[a-z]+/|[;,])
    | \bwww\d{{0,3}}\.(?=\w)
    | (?<![\w:])//(?=\w)
    | \\\\(?=\w)
    | [\w.+%-]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}})+
    | (?<![\w-]){_HOST}(?=:\d|[/?\#\\])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BARE = re.compile(rf"(?<![\w-]){_HOST}", re.IGNORECASE)
_BEGUN = re.compile(rf"(?://|\\\\|www\d{{0,3}}\.|{_OPAQUE})\Z", re.IGNORECASE)
# What readers do not take for the end of an address: a closing bracket or quotation mark, emphasis, a full stop.
_CLOSING = re.compile(r"[*_~`]{0,3}[)\]}>\"'”’»]?[*_~`]{0,3}[.,;!?…]{0,3}")
_HEADLESS = re.compile(r"\.[^\W\d_]{2}")


@dataclass(frozen=True, slots=True)
class Known:
    """The addresses that stand literally in the sources, up to where a reader takes them to end, and the host names."""

    addresses: frozenset[str]
    hosts: frozenset[str]


def known(texts: Iterable[str], *, names: Iterable[str] = ()) -> Known:
    """`names` may hold host names too: a title such as "report.pdf" looks like one."""
    words = [word for text in texts for word in _RUN.findall(text) if _may_hold_one(word)]
    addresses = frozenset(address for word in words for address in _read(word))
    hosts = (host for text in [*words, *names] for host in _BARE.findall(text))
    return Known(addresses, frozenset(hosts))


def _may_hold_one(word: str) -> bool:
    """A quick test, since most words hold no address."""
    return ":" in word or "." in word or "@" in word or "//" in word or "\\" in word


def _read(word: str) -> Iterator[str]:
    """Each address in a word, up to the word's end and also up to a bracket or quotation mark that may end it."""
    position = 0
    while len(word) < LONGEST and (found := _ADDRESS.search(word, position)):
        rest = word[found.start() :]
        ends = _ENDS.search(rest)
        yield _core(rest)
        if ends is None:
            return
        yield _core(rest[: ends.start()])
        position = found.start() + max(ends.start(), 1)


def _core(text: str) -> str:
    return text.rstrip(_BEHIND)


def kept(text: Iterable[str], known: Known) -> Iterator[str]:
    """Removes unknown addresses from a text that comes in pieces. A word is held back until it ends.

    The result does not depend on where the text was cut.
    """
    before, at_address = "", False
    for parts in _parts(text):
        said = []
        for part in parts:
            # A reader takes whatever follows an address without a space as part of it.
            if at_address and not part.isspace():
                said.append(" ")
            at_address = False
            if len(part) >= LONGEST or _may_hold_one(part):
                part, at_address = _checked(part, before, known)  # noqa: PLW2901  what is said instead
            said.append(part)
            before = part[-1]
        yield "".join(said)


def _parts(text: Iterable[str]) -> Iterator[list[str]]:
    """Words, cut at LONGEST, and what stands between them."""
    held = ""
    for piece in text:
        parts = _PART.findall(held + piece)
        held = parts.pop()[:LONGEST] if _RUN.match(parts[-1]) else ""
        if parts:
            yield parts
    if held:
        yield [held]


def _checked(word: str, before: str, known: Known) -> tuple[str, bool]:
    """The word without an unknown address, and whether a reader would take what follows as part of an address."""
    if len(word) >= LONGEST:
        return REMOVED, False
    # After letters of another script, this may be the end of a host's name.
    parted = " " if before.isalnum() and _HEADLESS.match(word) else ""
    found = _ADDRESS.search(word)
    if found is None:
        return parted + _spaced(word, known), _BEGUN.search(word) is not None
    lead, rest = parted + _spaced(word[: found.start()], known), word[found.start() :]
    address = _core(rest)
    behind = rest[len(address) :]
    if address in known.addresses:
        return lead + address + ("" if _CLOSING.fullmatch(behind) else " ") + behind, True
    return lead + (REMOVED[1:-1] if lead.endswith("(") else REMOVED) + behind, False


def _spaced(text: str, known: Known) -> str:
    def space(host: re.Match[str]) -> str:
        return host[0] if host[0] in known.hosts else host[0].replace(".", ". ")

    return _BARE.sub(space, text)
