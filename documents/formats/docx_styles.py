"""What a Word document's styles and numbering say of a paragraph: whether it is a heading, and its number in a list."""

import re
from dataclasses import dataclass
from typing import Any, Final

from documents.formats.building import whole
from documents.formats.packages import attribute

MOST_BASED_ON: Final = 20  # styles that a style stands on; a circle of them ends here
LEVELS: Final = 9
_HEADING_NAME: Final = re.compile(r"heading (\d)", re.IGNORECASE)
_PLACE: Final = re.compile(r"%(\d)")
_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Style:
    """`level`: of a heading from 1, or 0; `list_id` and `list_level`: of a list's item, or empty and 0."""

    name: str = ""
    level: int = 0
    list_id: str = ""
    list_level: int = 0


class Styles:
    """The paragraph styles of a document by their id."""

    def __init__(self, root: Any) -> None:
        elements = [] if root is None else root.iterchildren("{*}style")
        self._elements = {attribute(element, "styleId"): element for element in elements}
        self._known: dict[str, Style] = {}
        self._default = next(
            (key for key, found in self._elements.items() if _is_default_paragraph(found)), ""
        )

    def of(self, properties: Any) -> Style:
        """The style of a paragraph with these properties (its pPr, or None), its own settings above its style's."""
        style = self._named(child_value(properties, "pStyle") or self._default)
        return _overridden(style, properties)

    def _named(self, key: str) -> Style:
        if key not in self._known:
            style = Style()
            for element in reversed(self._chain(key)):
                style = _overridden(style, element.find("{*}pPr"))
                name = child_value(element, "name")
                style = Style(name, style.level or _level_by_name(name), style.list_id, style.list_level)
            self._known[key] = style
        return self._known[key]

    def _chain(self, key: str) -> list[Any]:
        """The style and what it stands on."""
        chain: list[Any] = []
        while key in self._elements and len(chain) < MOST_BASED_ON:
            chain.append(self._elements[key])
            key = child_value(chain[-1], "basedOn")
        return chain


class Numbering:
    """Counts the items of a document's lists, to be asked in the document's order."""

    def __init__(self, root: Any) -> None:
        elements = [] if root is None else list(root)
        self._levels = {
            attribute(element, "abstractNumId"): _levels(element)
            for element in elements
            if str(element.tag).endswith("}abstractNum")
        }
        self._lists = {
            attribute(element, "numId"): element for element in elements if str(element.tag).endswith("}num")
        }
        self._counters: dict[str, dict[int, int]] = {}

    def label(self, list_id: str, level: int) -> str:
        """The number or bullet of the next item, or nothing for one without."""
        element = self._lists.get(list_id)
        if element is None:
            return "-"
        abstract = child_value(element, "abstractNumId")
        levels = self._levels.get(abstract, {})
        start, form, pattern = levels.get(level, (1, "bullet", ""))
        restart = {
            attribute(one, "ilvl"): child_value(one, "startOverride")
            for one in element.iterchildren("{*}lvlOverride")
        }
        # Lists that share their levels count on, unless one says where it starts.
        counters = self._counters.setdefault(list_id if any(restart.values()) else f"/{abstract}", {})
        first = whole(restart.get(str(level), ""), start)
        counters[level] = counters.get(level, first - 1) + 1
        for deeper in [known for known in counters if known > level]:
            del counters[deeper]
        if form in {"bullet", "none"}:
            return "-" if form == "bullet" else ""

        def place(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            first, form, _ = levels.get(at, (1, "decimal", ""))
            return numeral(counters.get(at, first), form)

        return _PLACE.sub(place, pattern)


def numeral(number: int, form: str) -> str:
    """`number` as Word's format of that name writes it; what is not known is decimal."""
    if form in {"lowerLetter", "upperLetter"} and number > 0:
        letter = chr(ord("a") + (number - 1) % 26) * min((number - 1) // 26 + 1, 10)
        return letter.upper() if form == "upperLetter" else letter
    if form in {"lowerRoman", "upperRoman"} and 0 < number < 4000:
        return _roman(number).upper() if form == "upperRoman" else _roman(number)
    return f"{number:02d}" if form == "decimalZero" else str(number)


def child_value(element: Any, name: str) -> str:
    """The `val` of the child of this name, or an empty string."""
    child = None if element is None else element.find(f"{{*}}{name}")
    return "" if child is None else attribute(child, "val")


def _overridden(style: Style, properties: Any) -> Style:
    if properties is None:
        return style
    level, list_id, list_level = style.level, style.list_id, style.list_level
    outline = child_value(properties, "outlineLvl")
    if outline:
        outlined = whole(outline, LEVELS) + 1
        level = outlined if outlined <= LEVELS else 0  # the tenth level is that of body text
    numbered = properties.find("{*}numPr")
    if numbered is not None:
        list_id = child_value(numbered, "numId") or list_id
        list_level = whole(child_value(numbered, "ilvl"), list_level)
    return Style(style.name, level, "" if list_id == "0" else list_id, min(max(list_level, 0), LEVELS))


def _is_default_paragraph(element: Any) -> bool:
    default = attribute(element, "default") in {"1", "true", "on"}
    return default and attribute(element, "type") == "paragraph"


def _level_by_name(name: str) -> int:
    match = _HEADING_NAME.fullmatch(name)
    return int(match[1]) if match else int(name.casefold() == "title")


def _levels(abstract: Any) -> dict[int, tuple[int, str, str]]:
    """Start, format and pattern of each level."""
    return {
        whole(attribute(level, "ilvl"), 0): (
            whole(child_value(level, "start"), 1),
            child_value(level, "numFmt") or "decimal",
            child_value(level, "lvlText"),
        )
        for level in abstract.iterchildren("{*}lvl")
    }


def _roman(number: int) -> str:
    letters = ""
    for value, letter in _ROMAN:
        letters += letter * (number // value)
        number %= value
    return letters
