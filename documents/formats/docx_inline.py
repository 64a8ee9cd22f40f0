"""The words of a Word paragraph, as they read with all tracked changes accepted."""

from dataclasses import dataclass, field
from typing import Any, Final

from documents.formats.packages import attribute, is_on, local
from documents.structure import Failure, UnreadableError

# What was deleted or moved away, what fields are computed from, the copy for old programs, and readings of characters.
_LEFT_OUT: Final = {
    "del", "moveFrom", "delText", "instrText", "delInstrText", "Fallback", "rPr", "pPr", "sdtPr", "rt",
}  # fmt: skip
_CHARACTERS: Final = {
    "tab": " ", "ptab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": "",
}  # fmt: skip


@dataclass(slots=True)
class Inline:
    """`text` of a paragraph; `boxes`: text boxes that hang on it; `notes`: its foot- and endnotes by part and id."""

    text: str = ""
    boxes: list[Any] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


def read(paragraph: Any, *, noted: int, depth: int) -> Inline:
    """What a paragraph says. `noted`: how many notes came before it; `depth`: levels that it may have below it."""
    inline, pieces = Inline(), list[str]()
    _walk(paragraph, inline, pieces, noted=noted, depth=depth)
    inline.text = "".join(pieces)
    return inline


def _walk(element: Any, inline: Inline, pieces: list[str], *, noted: int, depth: int) -> None:
    if depth < 0:
        raise UnreadableError(Failure.TOO_DEEP)
    for child in element:
        name = local(child)
        if name == "t":
            pieces.append(child.text or "")
        elif name in _CHARACTERS:
            pieces.append(_CHARACTERS[name])
        elif name in {"footnoteReference", "endnoteReference"}:
            inline.notes.append((name.removesuffix("Reference"), attribute(child, "id")))
            pieces.append(f"[^{noted + len(inline.notes)}]")
        elif name == "txbxContent":
            inline.boxes.append(child)
        elif name == "docPr":
            pieces.append(_image(child))
        elif name not in _LEFT_OUT and not _is_hidden(child, name):
            _walk(child, inline, pieces, noted=noted, depth=depth - 1)


def _image(properties: Any) -> str:
    words = " ".join((properties.get("descr") or "").split())
    return f" [Image: {words}] " if words else ""


def _is_hidden(element: Any, name: str) -> bool:
    if name != "r":
        return False
    properties = element.find("{*}rPr")
    return properties is not None and is_on(properties.find("{*}vanish"))
