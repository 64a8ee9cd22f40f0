"""Plain text: paragraphs by blank lines, and the headings that cannot be mistaken."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from documents.formats.decoding import checked, decode, read_text
from documents.structure import MAX_BLOCKS, Block, Kind, Limits, ParsedDocument

HEADING_CHARACTERS: Final = 80  # a longer line is a sentence, whatever it looks like
_LINE: Final = re.compile(r"([^\r\n\f]*)(?:\r\n|[\r\n\f]|\Z)")
_RULE: Final = re.compile(r"[ \t]*(={3,}|-{3,})[ \t]*")
# "2.1 Limits" is a heading; "2. Limits" may be an item of a list, and stays a paragraph.
_NUMBERED: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3}){1,4})\.?[ \t]+[^\W\d_].*")
_NAMED: Final = re.compile(
    r"(?:chapter|part|appendix|section)[ \t]+(?:\d+|[IVXLC]+|[A-Z])\b.*", re.IGNORECASE
)

Span = tuple[int, int]  # a line's start and end, without its line end


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The file as one text with blocks that index into it; `UnreadableError` when it is empty or too large."""
    return structured(read_text(path, limits))


def read(raw: bytes, limits: Limits) -> ParsedDocument:
    """As `parse`, of the file's bytes."""
    return structured(checked(decode(raw), limits))


def structured(text: str) -> ParsedDocument:
    """`text` with its blocks; a heading that it begins with is its title."""
    # One block too many is enough for the document to be refused; hostile files hold millions.
    blocks = list(islice(split_blocks(text), MAX_BLOCKS + 1))
    return ParsedDocument(text=text, blocks=blocks, title=blocks[0].label if blocks else "")


def split_blocks(text: str) -> Iterator[Block]:
    """Paragraphs and headings in order, without the blank lines around them."""
    held: list[Span] | None = None
    for lines in _paragraphs(text):
        if held is not None:
            yield from _blocks_of(text, held, last=False)
        held = lines
    if held is not None:
        yield from _blocks_of(text, held, last=True)


def line_spans(text: str) -> Iterator[Span]:
    """Every line's start and end; CR, LF, CRLF and form feed end a line."""
    for match in _LINE.finditer(text):
        yield match.span(1)


def _paragraphs(text: str) -> Iterator[list[Span]]:
    lines: list[Span] = []
    for start, end in line_spans(text):
        if text[start:end].strip():
            lines.append((start, end))
        elif lines:
            yield lines
            lines = []
    if lines:
        yield lines


def _blocks_of(text: str, lines: list[Span], *, last: bool) -> Iterator[Block]:
    heading = _underlined(text, lines) or (None if last else _lone_heading(text, lines))
    if heading is not None:
        yield heading
        lines = [line for line in lines if line[0] >= heading.end]
    if lines:
        yield Block(lines[0][0], lines[-1][1])


def _underlined(text: str, lines: list[Span]) -> Block | None:
    """A heading with a rule below it that is about as long, as in a readme."""
    if len(lines) < 2:
        return None
    (start, end), (rule_start, rule_end) = lines[:2]
    label, rule = text[start:end].strip(), text[rule_start:rule_end]
    if not _RULE.fullmatch(rule) or _RULE.fullmatch(label) or len(label) > HEADING_CHARACTERS:
        return None
    if abs(len(rule.strip()) - len(label)) > 3:
        return None
    return Block(start, rule_end, Kind.HEADING, 1 if "=" in rule else 2, label)


def _lone_heading(text: str, lines: list[Span]) -> Block | None:
    """A line that stands alone, is numbered or in capitals, and does not end as a sentence does."""
    start, end = lines[0]
    label = text[start:end].strip()
    if len(lines) > 1 or len(label) > HEADING_CHARACTERS or label[-1] in ".,;:!?":
        return None
    numbered = _NUMBERED.fullmatch(label)
    if numbered:
        return Block(start, end, Kind.HEADING, numbered[1].count(".") + 1, label)
    capitals = label.isupper() and sum(character.isalpha() for character in label) >= 4
    if capitals or _NAMED.fullmatch(label):
        return Block(start, end, Kind.HEADING, 1, label)
    return None
