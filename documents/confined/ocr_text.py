"""From the words that Tesseract found on a page to the page's text, and from there into the document. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice, pairwise
from statistics import mean, median
from typing import Final

from documents.formats import pdf_blocks, pdf_columns, pdf_order, pdf_words
from documents.formats.pdf_columns import Line, Row
from documents.structure import Block, ParsedDocument

DPI: Final = 300
CERTAIN: Final = 30.0  # of 100: less sure words are specks and strokes
LEGIBLE: Final = 55.0  # of 100, on average over a page: below it a picture was taken for letters
WIDE_GAP: Final = 1.3  # of a line's height: between columns and cells
WORD: Final = "5"  # the level of a word's row
PAGE_BREAK: Final = "\n\n"
# Of a page: a newspaper's has some 5,000, and lines are put in order by comparing them.
MOST_WORDS: Final = 10_000
_FURTHEST: Final = 1 << 20  # pixels


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text and its blocks, which count from its beginning."""

    text: str
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class _Word:
    line: tuple[str, ...]  # the page, block, paragraph and line that it stands in
    left: int
    top: int
    width: int
    height: int
    certain: float
    text: str


def page(tsv: str) -> Page:
    """What the page says, in reading order; nothing where Tesseract itself believes little of it."""
    found = (_word(row) for row in tsv.splitlines())
    words = list(islice((word for word in found if word and word.certain >= CERTAIN), MOST_WORDS))
    letters = [word for word in words if any(map(str.isalnum, word.text))]
    if not letters or mean(word.certain for word in letters) < LEGIBLE:
        return Page("", [])
    rows = [_row(list(line)) for _, line in groupby(words, key=lambda word: word.line)]
    lines = pdf_order.in_order(pdf_columns.joined(rows))
    pdf_words.mend_hyphens([lines])
    return Page(*pdf_blocks.page(lines, {}))


def _word(row: str) -> _Word | None:
    cells = row.split("\t")
    if len(cells) != 12 or cells[0] != WORD:
        return None
    text = pdf_words.clean(cells[11]).strip()
    try:
        left, top, width, height = (max(-_FURTHEST, min(int(cell), _FURTHEST)) for cell in cells[6:10])
        certain = float(cells[10])
    except ValueError:
        return None
    return _Word(tuple(cells[1:5]), left, top, width, height, certain, text) if text else None


def _row(words: list[_Word]) -> Row:
    """A line's words, cut where a wide gap is; in points, lines going down."""
    height = median(word.height for word in words)
    cells = [[words[0]]]
    for before, word in pairwise(words):
        if word.left - before.left - before.width > WIDE_GAP * height:
            cells.append([])
        cells[-1].append(word)
    baseline = -median(word.top + word.height for word in words) * 72 / DPI
    return [
        Line(
            " ".join(word.text for word in cell),
            cell[0].left * 72 / DPI,
            (cell[-1].left + cell[-1].width) * 72 / DPI,
            baseline,
            baseline,
            height * 72 / DPI,
        )
        for cell in cells
    ]


def filled(parsed: ParsedDocument, pages: Mapping[int, Page]) -> ParsedDocument:
    """`parsed` with the recognised pages in their places, unless a page's own text says more."""
    result = replace(
        parsed,
        text="",
        blocks=[],
        page_starts=[],
        unread_pages=[number for number in parsed.unread_pages if number not in pages],
        ocr_pages=len(pages),
    )
    texts: list[str] = []
    position = 0
    for number, own in enumerate(_own_pages(parsed), start=1):
        found = pages.get(number)
        chosen = found if found and len(found.text) > len(own.text) else own
        result.page_starts.append(position)
        result.blocks += [_shifted(block, position) for block in chosen.blocks]
        texts.append(chosen.text)
        position += len(chosen.text) + len(PAGE_BREAK)
    result.text = PAGE_BREAK.join(texts)
    return result


def _own_pages(parsed: ParsedDocument) -> list[Page]:
    starts = [*parsed.page_starts, len(parsed.text) + len(PAGE_BREAK)]
    blocks = iter(parsed.blocks)
    block = next(blocks, None)
    pages = []
    for start, beyond in pairwise(starts):
        page = Page(parsed.text[start : beyond - len(PAGE_BREAK)], [])
        while block and block.start < beyond:
            page.blocks.append(_shifted(block, -start))
            block = next(blocks, None)
        pages.append(page)
    return pages


def _shifted(block: Block, by: int) -> Block:
    return replace(block, start=block.start + by, end=block.end + by)
