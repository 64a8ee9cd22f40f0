"""Markdown: CommonMark with tables, whose blocks index into the raw text, markup included."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from documents.formats.decoding import checked, decode, read_text
from documents.structure import LABEL_CHARACTERS, Block, Kind, Limits, ParsedDocument

FRONT_MATTER_LINES: Final = 200  # a closing rule further down than this belongs to something else
# markdown-it counts the same three line ends, and no others.
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|[\r\n]|\Z)")
_TITLE: Final = re.compile(r"title[ \t]*:[ \t]*(.*?)[ \t]*", re.IGNORECASE)
_KINDS: Final = {
    "heading_open": Kind.HEADING,
    "bullet_list_open": Kind.LIST,
    "ordered_list_open": Kind.LIST,
    "fence": Kind.CODE,
    "code_block": Kind.CODE,
    "table_open": Kind.TABLE,
}


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The file as one text with blocks that index into it; `UnreadableError` when it is empty or too large."""
    return structured(read_text(path, limits))


def read(raw: bytes, limits: Limits) -> ParsedDocument:
    """As `parse`, of the file's bytes."""
    return structured(checked(decode(raw), limits))


def structured(text: str) -> ParsedDocument:
    """`text` with its blocks and its title: the front matter's, else the first heading of level 1."""
    lines = _Lines(text)
    front = _front_matter_lines(lines)
    blocks = list(_with_gaps(lines, front))
    title = _front_title(lines, front)
    if not title:
        title = next((block.label for block in blocks if block.level == 1), "")
    return ParsedDocument(text=text, blocks=blocks, title=title)


class _Lines:
    """A text's lines by number, as markdown-it numbers them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [match.start() for match in _LINE.finditer(text)]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> str:
        return self.text[slice(*self.span(number, number + 1))]

    def span(self, first: int, beyond: int) -> tuple[int, int]:
        """Where lines `first` to `beyond` (not included) stand, without white space at their end."""
        start = self.starts[first]
        end = self.starts[beyond] if beyond < len(self) else len(self.text)
        while end > start and self.text[end - 1].isspace():
            end -= 1
        return start, end


def _with_gaps(lines: _Lines, front: int) -> Iterator[Block]:
    """The blocks in order. Lines that no block claims (link definitions, front matter) are paragraphs: nothing is lost."""
    if front:
        yield Block(*lines.span(0, front))
    done = front
    for token, first, beyond in _top_level(lines, front):
        yield from _gap(lines, done, first)
        start, end = lines.span(first, beyond)
        if start < end and token.type != "hr":
            yield _block(token, start, end)
        done = beyond
    yield from _gap(lines, done, len(lines))


def _gap(lines: _Lines, first: int, beyond: int) -> Iterator[Block]:
    while first < beyond and not lines[first].strip():
        first += 1
    if first < beyond:
        yield Block(*lines.span(first, beyond))


def _top_level(lines: _Lines, front: int) -> Iterator[tuple[Token, int, int]]:
    """Each outermost token with its first line and the line beyond its last; a heading carries its label."""
    # Only the blocks are wanted: inline markup is parsed for headings alone.
    parser = MarkdownIt("commonmark").enable("table").disable("inline")
    inline = MarkdownIt("commonmark")
    body = lines.text[lines.starts[front] :] if front < len(lines) else ""
    tokens = parser.parse(body)
    for position, token in enumerate(tokens):
        if token.level or token.nesting < 0 or token.map is None:
            continue
        if token.type == "heading_open":
            token.content = _plain(inline, tokens[position + 1].content)
        yield token, token.map[0] + front, min(token.map[1] + front, len(lines))


def _block(token: Token, start: int, end: int) -> Block:
    kind = _KINDS.get(token.type, Kind.PARAGRAPH)
    if kind is Kind.HEADING and token.content:
        return Block(start, end, kind, int(token.tag[1:]), token.content)
    return Block(start, end, Kind.PARAGRAPH if kind is Kind.HEADING else kind)


def _plain(inline: MarkdownIt, markup: str) -> str:
    """A heading's words: emphasis, links and images give their text, HTML tags give nothing."""
    children = inline.parseInline(markup[: 4 * LABEL_CHARACTERS])[0].children or []
    words = "".join(
        " "
        if child.type in {"softbreak", "hardbreak"}
        else ""
        if child.type == "html_inline"
        else child.content
        for child in children
    )
    return " ".join(words.split())[:LABEL_CHARACTERS]


def _front_matter_lines(lines: _Lines) -> int:
    """How many lines the front matter takes, its rules included; 0 without one."""
    if len(lines) < 2 or lines[0] != "---":
        return 0
    for number in range(1, min(len(lines), FRONT_MATTER_LINES)):
        if lines[number] in {"---", "..."}:
            return number + 1
    return 0


def _front_title(lines: _Lines, front: int) -> str:
    for number in range(1, front):
        match = _TITLE.fullmatch(lines[number])
        if match:
            return " ".join(match[1].strip("\"'").split())[:LABEL_CHARACTERS]
    return ""
