"""Cuts a parsed document into the pieces that are embedded, searched and cited. Pure, linear in the text.

Blocks are packed together up to a target size and cut along the document's structure: a top heading, then any
heading or page, then paragraphs, sentences, words.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from documents import sentences
from documents.structure import Block, Kind, ParsedDocument

# The local model reads 256 word pieces, about 1,000 to 1,200 characters of English.
TARGET: Final = 900
MAXIMUM: Final = 1_200
# A top heading begins a new piece unless the piece before it would be smaller than this.
TINY: Final = 200

# A heading of megabytes, or one of a thousand levels, must not be repeated in every piece under it.
_LONGEST_LABEL: Final = 120
_DEEPEST_PATH: Final = 6
_INK = re.compile(r"\S")
_BLANK_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk: `text[start:end]` of its document, white space stripped at both ends.

    `ordinal` counts from 0 and pages from 1 (None where the document has none); `heading` is the path of
    headings that it stands under, joined by " > ", or empty. Rows of a table that is cut have its header row as the
    last.
    """

    ordinal: int
    start: int
    end: int
    heading: str
    first_page: int | None
    last_page: int | None


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is packed whole. `wants_cut`: a piece of that many characters ends before this unit."""

    start: int
    end: int
    heading: str
    wants_cut: int


def chunk(document: ParsedDocument) -> list[Piece]:
    """The pieces of `document`: ascending, disjoint, each at most `MAXIMUM` characters, all text covered."""
    pages = document.page_starts
    return [
        Piece(
            ordinal=ordinal,
            start=start,
            end=end,
            heading=heading,
            first_page=bisect_right(pages, start) if pages else None,
            last_page=bisect_right(pages, end - 1) if pages else None,
        )
        for ordinal, (start, end, heading) in enumerate(_packed(_units(document)))
    ]


def in_context(text: str, *, title: str, heading: str) -> str:
    """What is embedded and indexed for a piece: its text under the document's title and the headings over it.

    None is repeated that the text begins with already: said twice, it would outweigh what the text says.
    """
    # A title that is a bare number, as of a file called 0042.txt, says nothing.
    above = [part for part in dict.fromkeys([title, *heading.split(" > ")]) if any(map(str.isalpha, part))]
    beginning = _spaced(text[: sum(map(len, above)) + 2 * _LONGEST_LABEL])
    return "\n".join([*(part for part in above if _spaced(part) not in beginning), text])


def _spaced(text: str) -> str:
    return f" {' '.join(text.split()).casefold()} "


def _packed(units: Iterable[_Unit]) -> Iterator[tuple[int, int, str]]:
    current: _Unit | None = None
    for unit in units:
        if current is None:
            current = unit
        elif unit.end - current.start > TARGET or current.end - current.start >= unit.wants_cut:
            yield current.start, current.end, current.heading
            current = unit
        else:
            current = _Unit(current.start, unit.end, current.heading, current.wants_cut)
    if current is not None:
        yield current.start, current.end, current.heading


def _units(document: ParsedDocument) -> Iterator[_Unit]:
    """Blocks in order, in parts where they are too long; headings go with the beginning of what they head."""
    top = _top_level(document.blocks)
    path: list[Block] = []
    lead: Block | None = None  # the headings that wait for their text
    wants_cut, previous_end = TARGET, 0
    for block in _covering(document):
        if _page_between(document.page_starts, previous_end, block.start):
            if lead is not None:
                yield from _parts(document.text, lead, heading=_joined(path), wants_cut=wants_cut)
                lead = None
            wants_cut = 0  # always: a source is cited by its page, which must be the one
        previous_end = block.end
        if block.kind is Kind.HEADING:
            path = [*(above for above in path if above.level < block.level), block][-_DEEPEST_PATH:]
            wants_cut = min(wants_cut, TINY if block.level <= top else TARGET // 2)
        whole = block if lead is None else replace(block, start=lead.start)
        if block.kind is Kind.HEADING and whole.end - whole.start < TARGET // 2:
            lead = whole
            continue
        yield from _parts(document.text, whole, heading=_joined(path), wants_cut=wants_cut)
        lead, wants_cut = None, TARGET
    if lead is not None:
        yield from _parts(document.text, lead, heading=_joined(path), wants_cut=wants_cut)


def _parts(text: str, block: Block, *, heading: str, wants_cut: int) -> Iterator[_Unit]:
    names = block.label if block.kind is Kind.TABLE else ""
    named_at = text.find(names, block.start, block.start + MAXIMUM)
    for start, end in _spans(text, block):
        unnamed = names and start > named_at  # a row apart from the one that names its columns says little
        yield _Unit(start, end, _under(heading, names) if unnamed else heading, wants_cut)
        wants_cut = TARGET


def _under(heading: str, names: str) -> str:
    return f"{heading} > {names}" if heading else names


def _spans(text: str, block: Block) -> Iterator[tuple[int, int]]:
    """The block whole if it fits, else its sentences (its lines, if it is no prose), else its words."""
    start, end = _stripped(text, block.start, block.end)
    if end - start <= MAXIMUM:
        if start < end:
            yield start, end
        return
    prose = block.kind in {Kind.PARAGRAPH, Kind.HEADING}
    for part_start, part_end in sentences.spans(text, start, end) if prose else _lines(text, start, end):
        yield from _words(text, part_start, part_end)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        newline = text.find("\n", start, end)
        line_end = end if newline < 0 else newline + 1
        stripped = _stripped(text, start, line_end)
        if stripped[0] < stripped[1]:
            yield stripped
        start = line_end


def _words(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """`text[start:end]` in runs of at most `TARGET` characters if it is over `MAXIMUM`, cut at white space if any."""
    while end - start > MAXIMUM:
        run = text[start : start + TARGET]
        words = run.rsplit(maxsplit=1)
        cut = len(run[: -len(words[1])].rstrip()) if len(words) == 2 else TARGET  # no space: cut the word
        yield start, start + cut
        start = _skip_space(text, start + cut, end)
    if start < end:
        yield start, end


def _covering(document: ParsedDocument) -> Iterator[Block]:
    """The blocks, and as paragraphs the text that lies between them: nothing of the text is lost."""
    position = 0
    for block in document.blocks:
        yield from _paragraphs(document, position, block.start)
        start = max(position, block.start)
        if start < block.end:
            yield replace(block, start=start)
        position = max(start, block.end)
    yield from _paragraphs(document, position, len(document.text))


def _paragraphs(document: ParsedDocument, start: int, end: int) -> Iterator[Block]:
    """`text[start:end]` cut at blank lines and at page breaks."""
    if start >= end:
        return
    starts, text = document.page_starts, document.text
    first, last = bisect_right(starts, start), bisect_right(starts, end - 1)
    bounds = [start, *starts[first:last], end]
    for page_start, page_end in pairwise(bounds):
        begin = _skip_space(text, page_start, page_end)
        for blank in _BLANK_LINES.finditer(text, begin, page_end):
            yield Block(begin, blank.start())
            begin = blank.end()
        if _skip_space(text, begin, page_end) < page_end:
            yield Block(begin, page_end)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The bounds without outer white space; `start == end` where there is nothing else."""
    end = start + len(text[start:end].rstrip())
    return _skip_space(text, start, end), end


def _skip_space(text: str, start: int, end: int) -> int:
    ink = _INK.search(text, start, end)
    return ink.start() if ink else max(start, end)


def _top_level(blocks: list[Block]) -> int:
    """The shallowest heading level that divides the document: a lone first heading is only its title."""
    levels = Counter(block.level for block in blocks if block.kind is Kind.HEADING)
    return min((level for level, count in levels.items() if count > 1), default=1)


def _page_between(page_starts: list[int], before: int, after: int) -> bool:
    return bool(page_starts) and bisect_right(page_starts, max(before - 1, 0)) < bisect_right(
        page_starts, after
    )


def _joined(path: list[Block]) -> str:
    return " > ".join(heading.label[:_LONGEST_LABEL] for heading in path if heading.label)
