"""Characters that nobody sees, or that turn the direction of those around them, and so hide one text in another."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from django.core.exceptions import ValidationError

_WHITE: Final = "\t\n"
_AS_SPACE: Final = frozenset("\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029\u2800")
# Not seen, though Unicode counts them as letters or marks; by the selectors of variants whole texts are smuggled.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Signs of Arabic, Syriac and Kaithi that are seen, though Unicode counts them as format.
_SEEN = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2\U000110bd")
# Not seen either, but part of the spelling of some scripts: whether they hide something depends on their neighbours.
JOINERS: Final = "\u200c\u200d"
# Says of the sign before it that it is an emoji, or is none: of a keycap's digit as well, and after any other letter,
# digit or space it is not seen at all.
_EMOJI = re.compile("(?<=[^\\w\\s\x00-\x7f\ufe0e\ufe0f]|\u2139)[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)")


def visible(text: str) -> str:
    """The text without the characters that are not seen; joiners stay, and odd kinds of white space become spaces."""
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def check_name(name: str) -> None:
    """For what people call something, which stands on one line beside the names of others. Raises Django's
    ValidationError (`unseen`), which its forms and the API's serializers both know."""
    found = sorted({character for character in _EMOJI.sub("", name) if _is_hidden(character)})
    if found:
        named = ", ".join(f"U+{ord(character):04X}" for character in found[:5])
        raise ValidationError(
            f"A name has no characters that hide or turn others, such as {named}.", code="unseen"
        )
    if name and not name.strip(JOINERS).strip():
        raise ValidationError("A name has something to be seen.", code="unseen")


def _is_hidden(character: str) -> bool:
    return character in _WHITE or _shown(character) != character


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    """The character, nothing, or a space. Joiners stay here: it takes their neighbours to judge them."""
    if character in _WHITE or character in _SEEN or character in JOINERS:
        return character
    if character in _AS_SPACE:
        return " "
    unseen = unicodedata.category(character).startswith("C") or _UNSEEN.match(character)
    return "" if unseen else character
