"""Paragraphs and headings of a PDF page, from its lines' gaps and font sizes."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Final

from documents.formats.pdf_columns import Line
from documents.structure import LABEL_CHARACTERS, Block, Kind

GAP: Final = 1.3  # of the usual distance between lines: a larger one parts paragraphs
INDENT: Final = 0.8  # of the font size: what a paragraph's first line is set in by, at least
LARGER: Final = 1.12  # of the body's font size: what a heading measures at least
HEADING_LINES: Final = 3
HEADING_CHARACTERS: Final = 200
BODY_CHARACTERS: Final = 300  # a document with less text has no usual size that others could stand out from
LEVELS: Final = 6
_SENTENCE_ENDS: Final = tuple(".!?:;\"')]\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}»")
_WORD: Final = re.compile(r"[^\W\d_]{2}")  # not the letters of a formula

Levels = dict[float, int]  # font size to heading level


def heading_levels(pages: Iterable[list[Line]]) -> Levels:
    """Which font sizes are headings', the largest level 1; none when the document has no size that most of its text has."""
    characters: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            characters[line.size] += len(line.text)
    body, most = characters.most_common(1)[0] if characters else (0.0, 0)
    total = characters.total()
    smaller = sum(count for size, count in characters.items() if size < body * LARGER)
    if most < BODY_CHARACTERS or smaller < 0.7 * total or body <= 0:
        return {}
    larger = sorted({_step(size) for size in characters if size >= body * LARGER}, reverse=True)
    return {size: rank for rank, size in enumerate(larger, start=1)}


def _step(size: float) -> float:
    """Font sizes as people choose them: half a point counts."""
    return round(2 * size) / 2


def closed_ranks(blocks: Iterable[Block]) -> list[Block]:
    """`blocks` with the levels that no heading has taken out, and none below `LEVELS`."""
    kept = list(blocks)
    ranks = {
        level: rank
        for rank, level in enumerate(sorted({block.level for block in kept if block.level}), start=1)
    }
    return [replace(block, level=min(ranks[block.level], LEVELS)) if block.level else block for block in kept]


def page(lines: list[Line], levels: Levels) -> tuple[str, list[Block]]:
    """A page's text and its blocks: lines of a paragraph are a line end apart, paragraphs a blank line."""
    parts: list[str] = []
    blocks: list[Block] = []
    position = 0
    for group in _groups(lines):
        text = "\n".join(line.text for line in group)
        blocks.append(_block(group, text, position, levels))
        parts.append(text)
        position += len(text) + 2
    return "\n\n".join(parts), blocks


def _groups(lines: list[Line]) -> list[list[Line]]:
    """The lines of each paragraph or heading."""
    groups: list[list[Line]] = []
    usual = _usual_pitch(lines)
    for line in lines:
        if groups and _continues(groups[-1][-1], line, usual):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _usual_pitch(lines: list[Line]) -> dict[float, float]:
    """For each font size, the usual distance from one baseline to the next."""
    pitches: dict[float, list[float]] = {}
    for above, below in pairwise(lines):
        pitch = above.last_baseline - below.baseline
        if above.size == below.size and 0 < pitch < 3 * max(above.size, 1.0):
            pitches.setdefault(above.size, []).append(pitch)
    return {size: median(found) for size, found in pitches.items()}


def _continues(above: Line, below: Line, usual: dict[float, float]) -> bool:
    """Whether `below` goes on with the paragraph or the table of `above`."""
    if above.table or below.table:
        return above.table is below.table
    if abs(above.size - below.size) > 0.1 * max(above.size, below.size):
        return False
    ended = above.text.endswith(_SENTENCE_ENDS)
    pitch = above.last_baseline - below.baseline
    if pitch < -above.size:  # up: the next column
        return not ended and below.text[0].islower()
    if pitch > GAP * usual.get(above.size, 1.2 * above.size):
        return False
    return not (ended and below.left - above.left > INDENT * above.size)


def _block(group: list[Line], text: str, position: int, levels: Levels) -> Block:
    table = group[0].table
    if table:
        return Block(position, position + len(text), Kind.TABLE, 0, table.header[:LABEL_CHARACTERS])
    level = levels.get(_step(group[0].size), 0)
    label = " ".join(text.split())
    if level and _WORD.search(label) and len(group) <= HEADING_LINES and len(label) <= HEADING_CHARACTERS:
        return Block(position, position + len(text), Kind.HEADING, level, label[:LABEL_CHARACTERS])
    return Block(position, position + len(text))
