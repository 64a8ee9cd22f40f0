"""Walks an HTML tree and writes what is seen of it."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from documents.formats.building import Builder, one_line
from documents.formats.html_tables import HtmlTable, whole_attribute
from documents.structure import Failure, Kind, UnreadableError

_LEFT_OUT: Final = frozenset(
    """
    head script style template noscript nav svg canvas iframe object audio video select datalist rt rp
    annotation annotation-xml
    """.split()  # noqa: SIM905 - as a list it would be a column of words
)
_BLOCKS: Final = frozenset(
    """
    address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main menu ol optgroup option p search section
    summary table tbody td tfoot th thead tr ul
    """.split()  # noqa: SIM905 - as a list it would be a column of words
)
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_LISTS: Final = frozenset({"ul", "ol", "menu", "dl"})
_PREFORMATTED: Final = frozenset({"pre", "listing", "xmp", "textarea"})
_LINKS: Final = ("http:", "https:", "mailto:")
_HIDDEN_STYLE: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE
)
_BLANKS: Final = re.compile(r"[ \t\n\r\f]+")


@dataclass(slots=True)
class Page:
    """`layout`: ids of the tables that are no tables. The rest is what stands open while the tree is walked:
    the words of a block, the lines of a list, for each list in it its last number (None with bullets), a table.
    """

    builder: Builder
    layout: set[int]
    _words: list[str] = field(default_factory=list)
    _items: list[str] = field(default_factory=list)
    _lists: list[int | None] = field(default_factory=list)
    _mark: str = ""
    _table: HtmlTable | None = None

    def walk(self, root: Any, depth: int) -> None:
        """Write all under `root`, which may have `depth` levels: more than Python's own stack, so without recursion."""
        stack, level = [(root, False)], 0
        while stack:
            node, leaving = stack.pop()
            tag = node.tag
            if leaving:
                level -= 1
                self._leave(node, tag)
            elif tag == "-text":
                self._words.append(_BLANKS.sub(" ", node.text_content or ""))
            elif self._enter(node, tag):
                level += 1
                if level > depth:
                    raise UnreadableError(Failure.TOO_DEEP)
                stack.append((node, True))
                stack += [(child, False) for child in reversed(list(node.iter(include_text=True)))]
        self._end_block()
        self._end_list()

    def _enter(self, node: Any, tag: str) -> bool:
        """Begin an element; whether its children are to be read too."""
        if tag in _LEFT_OUT or tag[:1] in {"-", "!"} or _is_hidden(node):
            return False
        if tag in _PREFORMATTED and self._table is None:
            self._end_block()
            self._end_list()
            self.builder.code(node.text())
            return False
        if tag in _BLOCKS and self._table is not None:
            self._enter_cell(tag)
        elif tag in _BLOCKS:
            self._enter_block(node, tag)
        else:
            self._words.append(_inline(node, tag))
        return True

    def _leave(self, node: Any, tag: str) -> None:
        if tag not in _BLOCKS:
            return
        if self._table is not None:
            self._leave_cell(node, tag, self._table)
        elif tag in _HEADINGS and not self._lists:
            text = "".join(self._words)
            self._words.clear()
            self.builder.heading(text, _HEADINGS[tag])
        else:
            self._end_block()
            if tag in _LISTS:
                self._lists.pop()
                self._end_list(inner=bool(self._lists))

    def _enter_block(self, node: Any, tag: str) -> None:
        self._end_block()
        if tag == "table" and node.mem_id not in self.layout:
            self._end_list()
            self._table = HtmlTable()
        elif tag in _LISTS:
            ordered = tag == "ol"
            self._lists.append(whole_attribute(node, "start", 1) - 1 if ordered else None)
        elif tag in {"li", "dt"}:
            self._mark = self._next_mark(node)
        elif tag == "dd":
            self._mark = "  "
        elif not self._lists:
            self._end_list()

    def _next_mark(self, node: Any) -> str:
        last = self._lists[-1] if self._lists else None
        if last is None:
            return "- "
        self._lists[-1] = whole_attribute(node, "value", last + 1)
        return f"{self._lists[-1]}. "

    def _enter_cell(self, tag: str) -> None:
        if tag == "tr" and self._table is not None:
            self._table.begin_row()
        if tag in {"tr", "td", "th", "caption"}:
            self._words.clear()
        else:
            self._words.append(" ")

    def _leave_cell(self, node: Any, tag: str, table: HtmlTable) -> None:
        if tag in {"td", "th"}:
            table.add(node, one_line("".join(self._words)))
            self._words.clear()
        elif tag == "caption":
            self.builder.paragraph("".join(self._words))
            self._words.clear()
        elif tag == "table":
            self._words.clear()
            self._table = None
            self.builder.lines(table.lines(), Kind.TABLE)
        else:
            self._words.append(" ")

    def _end_block(self) -> None:
        """Write the words of the open block: as an item of the list that is open, or as a paragraph."""
        text = "".join(self._words)
        self._words.clear()
        if self._lists and text.strip():
            indent = "  " * (len(self._lists) - 1)
            self._items.append(f"{indent}{self._mark or '  '}{one_line(text)}")
            self._mark = ""
        elif not self._lists:
            self.builder.paragraph(f"{self._mark}{text}" if text.strip() else "")
            self._mark = ""

    def _end_list(self, *, inner: bool = False) -> None:
        if not inner:
            self.builder.lines(self._items, Kind.LIST)
            self._items = []


def _inline(node: Any, tag: str) -> str:
    """What an element shows before its children."""
    if tag == "br":
        return "\n"
    if tag == "img":
        words = one_line(node.attributes.get("alt") or "")
        return f" [Image: {words}] " if words else ""
    if tag == "a" and not node.text(strip=True) and node.css_first("img[alt]") is None:
        target = node.attributes.get("href") or ""
        return target if target.startswith(_LINKS) else ""
    return ""


def _is_hidden(node: Any) -> bool:
    attributes = node.attributes
    return bool(attributes) and (
        "hidden" in attributes or _HIDDEN_STYLE.search(attributes.get("style") or "") is not None
    )
