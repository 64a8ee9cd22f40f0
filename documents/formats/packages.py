"""Office Open XML packages (ECMA-376 part 2): a zip of XML parts that refer to one another.

Only the parts that hold text are unpacked. XML with a DTD is refused, and no reference out of the package is followed.
"""

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from lxml import etree

from documents.formats.archives import OLE_MAGIC, Archive
from documents.structure import Failure, Limits, UnreadableError

# In one byte a character or two, in either order: no writer but an attacker's declares anything in a part.
_DECLARATION: Final = re.compile(rb"<\0?!\0?(?:D\0?O\0?C\0?T\0?Y\0?P\0?E|E\0?N\0?T\0?I\0?T\0?Y)")
_GUARDS: Final = {"resolve_entities": False, "no_network": True, "huge_tree": False, "load_dtd": False}
# What programs write where a title was never given.
_NO_TITLE: Final = re.compile(
    r"untitled.*|.*\.(docx?|pptx?|xlsx?|pdf|rtf)|microsoft (word|powerpoint) - .*"
    r"|(word document|document|powerpoint presentation|presentation|title|slide|none|\W*)\d*|",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Relation:
    """What a part refers to: the last word of the relation's type, and the other part's name."""

    kind: str
    target: str


class Package:
    """An opened package. Every method raises `UnreadableError` where the file is damaged, locked or too large."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        if raw.startswith(OLE_MAGIC):  # encryption wraps the zip in an OLE container
            raise UnreadableError(Failure.ENCRYPTED)
        self._archive = Archive(BytesIO(raw), budget=limits.decompressed_bytes)

    def xml(self, name: str) -> Any:
        """The root element of the part `name`."""
        raw = self.read(name)
        with _damage_named():
            return etree.fromstring(raw, etree.XMLParser(remove_comments=True, remove_pis=True, **_GUARDS))

    def xml_or_none(self, name: str) -> Any:
        """The root element of a part that may be missing."""
        return self.xml(name) if name and name in self._archive else None

    def read(self, name: str) -> bytes:
        """The part `name`, which declares nothing."""
        raw = self._archive.read(name)
        if _DECLARATION.search(raw):
            raise UnreadableError(Failure.UNSAFE_XML)
        return raw

    def relations(self, name: str) -> dict[str, Relation]:
        """What the part `name` refers to, by the reference's id; references out of the package are left out."""
        folder, base = posixpath.split(name)
        root = self.xml_or_none(posixpath.join(folder, "_rels", f"{base}.rels"))
        if root is None:
            return {}
        return {
            element.get("Id", ""): Relation(
                element.get("Type", "").rpartition("/")[2], _resolved(folder, element)
            )
            for element in root.iterchildren("{*}Relationship")
            if element.get("TargetMode") != "External"
        }

    def related(self, name: str, kind: str) -> str:
        """The first part of this kind that the part `name` refers to, or an empty name."""
        return next((found.target for found in self.relations(name).values() if found.kind == kind), "")

    def main_part(self) -> str:
        """The document, workbook or presentation itself."""
        name = self.related("", "officeDocument")
        if not name:
            raise UnreadableError(Failure.CORRUPT)
        return name

    def title(self) -> str:
        """What the file's properties give as its title, unless a program wrote it by itself."""
        root = self.xml_or_none(self.related("", "core-properties"))
        title = " ".join((root.findtext("{*}title") or "").split()) if root is not None else ""
        return "" if _NO_TITLE.fullmatch(title) else title


def elements(raw: bytes, *tags: str) -> Iterator[Any]:
    """The elements with these names, in any namespace, one after another; each is emptied after its use, so that
    a part of 100 MB takes no more memory than its bytes.
    """
    with _damage_named():
        wanted = [f"{{*}}{tag}" for tag in tags]
        for _, element in etree.iterparse(
            BytesIO(raw), tag=wanted, remove_comments=True, remove_pis=True, **_GUARDS
        ):
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]


@contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except etree.XMLSyntaxError as error:
        too_much = any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in error.error_log or ())
        deep = too_much and "depth" in str(error)
        raise UnreadableError(Failure.TOO_DEEP if deep else Failure.CORRUPT) from error


def local(element: Any) -> str:
    """The element's name without its namespace: strict and transitional documents differ in nothing else."""
    return str(element.tag).rpartition("}")[2]


def attribute(element: Any, name: str) -> str:
    """The attribute of this name in any namespace or none, or an empty string."""
    return next((value for key, value in element.items() if key.rpartition("}")[2] == name), "")


def is_on(element: Any) -> bool:
    """Whether a switch such as <w:b/> is on: there, and not set to no."""
    return element is not None and attribute(element, "val") not in {"0", "false", "off"}


def _resolved(folder: str, element: Any) -> str:
    """The target as a name in the package; one that climbs out of it names nothing there."""
    return posixpath.normpath(posixpath.join("/", folder, element.get("Target", ""))).lstrip("/")
