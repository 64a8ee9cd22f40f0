"""HTML as browsers read it: what is seen of a page, with its headings, lists, tables and code.

Left out: scripts, styles, menus (nav), what is hidden, and where links lead, unless a link shows nothing else.
A table that holds another one is layout, as in mail, and its cells are read one after another.
"""

import re
from pathlib import Path
from typing import Final

from selectolax.lexbor import LexborHTMLParser

from documents.formats import html_page
from documents.formats.building import Builder, one_line
from documents.formats.decoding import check_size, decode, decode_labelled
from documents.structure import Failure, Limits, ParsedDocument, UnreadableError

# Browsers stop at 512 levels; pages leave inline tags open, so that there are more than an office file has.
DEPTH_FACTOR: Final = 5
# Open tags at once, told without parsing: the parser needs seconds for 50,000, and no page has 5,000.
MOST_OPEN: Final = 5_000
LABEL_BYTES: Final = 4_096  # within which a page names its charset; browsers look at 1,024
_CHARSET: Final = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_XML_ENCODING: Final = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w.:-]{2,40})""", re.IGNORECASE)
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# Tags that need no end, or that the next of their kind ends.
_SELF_ENDING: Final = frozenset(
    """
    area base br col embed hr img input link meta param source track wbr p li td th tr dt dd option thead
    tbody tfoot colgroup optgroup rt rp
    """.split()  # noqa: SIM905 - as a list it would be a column of words
)


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The page with its blocks; `UnreadableError` when it is empty, nested too deep or over a limit."""
    check_size(path.stat().st_size, limits)
    return read(path.read_bytes(), limits)


def read(raw: bytes, limits: Limits, *, charset: str = "") -> ParsedDocument:
    """As `parse`; `charset` is what a mail says of the page, which counts above what it says of itself."""
    return structured(decoded(raw, charset), limits)


def decoded(raw: bytes, charset: str = "") -> str:
    """The page's characters: by its byte order mark, by the charset that is named, else by a guess."""
    if not charset:
        found = _CHARSET.search(raw, 0, LABEL_BYTES) or _XML_ENCODING.match(raw, 0, LABEL_BYTES)
        charset = found[1].decode("ascii") if found else ""
    return decode_labelled(raw, charset) if charset else decode(raw)


def structured(markup: str, limits: Limits) -> ParsedDocument:
    """The page in `markup`."""
    if len(markup) > 4 * limits.characters:
        raise UnreadableError(Failure.TOO_LARGE_TEXT)
    _refuse_open(markup)
    tree = LexborHTMLParser(markup)
    builder = Builder(limits)
    if tree.body is not None:
        html_page.Page(builder, _layout_tables(tree)).walk(tree.body, DEPTH_FACTOR * limits.depth)
    title = tree.css_first("head title") or tree.css_first("title")
    named = one_line(title.text()) if title is not None else ""
    return builder.finish(named or builder.first_heading())


def _refuse_open(markup: str) -> None:
    """Refuse a tower of open tags before the parser, whose time grows with its square, sees it."""
    if markup.count("<") <= MOST_OPEN:
        return
    depth = 0
    for match in _TAG.finditer(markup):
        if match[2].lower() not in _SELF_ENDING:
            depth = max(depth - 1, 0) if match[1] else depth + 1
            if depth > MOST_OPEN:
                raise UnreadableError(Failure.TOO_DEEP)


def _layout_tables(tree: LexborHTMLParser) -> set[int]:
    """The tables that hold tables, by their node's id."""
    layout: set[int] = set()
    for inner in tree.css("table table"):
        node = inner.parent
        while node is not None and node.mem_id not in layout:
            if node.tag == "table":
                layout.add(node.mem_id)
            node = node.parent
    return layout
