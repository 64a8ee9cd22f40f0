"""A PDF page's characters as PDFium gives them, cut into lines that know where they stand on the page."""

import ctypes
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pypdfium2_raw as pdfium

from documents.formats import pdf_grids, pdf_order, pdf_pages, pdf_rulings
from documents.formats.pdf_columns import HYPHEN, Line
from documents.formats.pdf_words import clean

WIDE_GAP: Final = (
    1.0  # of the font size: no space between words is as wide, and the gaps between columns and cells are
)
ANGLES_SEEN: Final = 40  # characters that tell which way up a page's text stands
# Where PDFium writes a character's left, right, bottom and top: made once, because a page asks a thousand times.
_BOX: Final = tuple(ctypes.c_double() for _ in range(4))
_BOX_POINTERS: Final = tuple(map(ctypes.byref, _BOX))


def read(page: pdfium.FPDF_PAGE) -> list[Line] | None:
    """The page's lines in reading order, empty ones left out; None where no font says which characters they are."""
    with _textpage(page) as textpage:
        if pdf_pages.is_garbled(textpage):
            return None
        turns = _quarter_turns(textpage)
        if turns == pdfium.FPDFPage_GetRotation(page):
            rulings = pdf_rulings.Rulings() if turns else pdf_rulings.read(page)
            return _Reader(textpage, rulings).lines()
    # PDFium sorts what stands on one line as the page is shown; text that lies on its side would come out backwards.
    pdfium.FPDFPage_SetRotation(page, turns)
    with _textpage(page) as textpage:
        return _Reader(textpage, pdf_rulings.Rulings()).lines()


@contextmanager
def _textpage(page: pdfium.FPDF_PAGE) -> Iterator[pdfium.FPDF_TEXTPAGE]:
    textpage = pdfium.FPDFText_LoadPage(page)
    try:
        yield textpage  # null when the page is broken, which PDFium takes for a page without characters
    finally:
        pdfium.FPDFText_ClosePage(textpage)


def _quarter_turns(textpage: pdfium.FPDF_TEXTPAGE) -> int:
    """How often the page must be turned clockwise for most of its text to stand upright."""
    count = max(0, pdfium.FPDFText_CountChars(textpage))
    sample = range(0, count, max(1, count // ANGLES_SEEN))
    turns = Counter(round(_angle(textpage, index) / (math.pi / 2)) % 4 for index in sample)
    return turns.most_common(1)[0][0] if turns else 0


def _matrix(textpage: pdfium.FPDF_TEXTPAGE, index: int) -> pdfium.FS_MATRIX:
    matrix = pdfium.FS_MATRIX()
    if pdfium.FPDFText_GetMatrix(textpage, index, matrix):
        return matrix
    return pdfium.FS_MATRIX(a=1, b=0, c=0, d=1, e=0, f=0)  # a character that PDFium put in has none


def _angle(textpage: pdfium.FPDF_TEXTPAGE, index: int) -> float:
    matrix = _matrix(textpage, index)
    return math.atan2(matrix.b, matrix.a)


def _characters(textpage: pdfium.FPDF_TEXTPAGE) -> str:
    """One for each index that PDFium counts.

    PDFium's own text of the page is had in one call. It leaves out what has no character, and has two for one that
    is beyond 16 bits: where its length differs, each is asked for by itself.
    """
    count = max(0, pdfium.FPDFText_CountChars(textpage))
    buffer = (ctypes.c_ushort * (count + 1))()
    written = pdfium.FPDFText_GetText(textpage, 0, count, buffer)
    text = bytes(buffer)[: 2 * count].decode("utf-16-le", "surrogatepass")
    if written == count + 1 and len(text) == count and "\0" not in text:
        return text
    codes = [pdfium.FPDFText_GetUnicode(textpage, index) for index in range(count)]
    # Codes above Unicode's end come from broken font tables.
    return "".join(chr(code) if code < 0x110000 else "\ufffd" for code in codes)


@dataclass(slots=True)
class _Reader:
    textpage: pdfium.FPDF_TEXTPAGE
    rulings: pdf_rulings.Rulings

    def lines(self) -> list[Line]:
        characters = _characters(self.textpage)
        rows, start = [], 0
        for match in re.finditer(r"[\r\n]+|\Z", characters):
            row = self._row(characters, start, match.start())
            if row:
                rows.append(row)
            start = match.end()
        return pdf_order.in_order(pdf_grids.fold(rows, pdf_rulings.grids(self.rulings)))

    def _row(self, characters: str, start: int, end: int) -> list[Line]:
        """What stands on one line, cut where a wide gap is."""
        raw = characters[start:end]
        first, last = start + len(raw) - len(raw.lstrip()), start + len(raw.rstrip()) - 1
        if first > last:
            return []
        matrix = _matrix(self.textpage, first)
        angle = math.atan2(matrix.b, matrix.a)
        size = self._size(first)
        cells, begin = [], first
        for space in re.finditer(r" +", characters[first : last + 1]):
            before, after = first + space.start() - 1, first + space.end()
            # One space that the file itself has is a space between words. PDFium puts one in where it sees a gap.
            if after - before == 2 and not pdfium.FPDFText_IsGenerated(self.textpage, before + 1):
                continue
            left, right = self._extent(before, angle)[1], self._extent(after, angle)[0]
            ruled = self.rulings.down and self.rulings.parts(left, right, self._baseline(after, angle))
            if right - left > WIDE_GAP * size or ruled:
                cells.append((begin, before))
                begin = after
        cells.append((begin, last))
        made = (self._cell(characters, *cell, angle=angle) for cell in cells)
        return [cell for cell in made if cell.text]

    def _cell(self, characters: str, first: int, last: int, *, angle: float) -> Line:
        text = clean(characters[first : last + 1], keep=HYPHEN).strip()
        left, right = self._extent(first, angle)[0], self._extent(last, angle)[1]
        baselines = self._baseline(first, angle), self._baseline(last, angle)
        return Line(text, left, right, *baselines, round(self._size(first), 1))

    def _size(self, index: int) -> float:
        matrix = _matrix(self.textpage, index)
        return float(pdfium.FPDFText_GetFontSize(self.textpage, index) * math.hypot(matrix.c, matrix.d))

    def _baseline(self, index: int, angle: float) -> float:
        x, y = ctypes.c_double(), ctypes.c_double()
        pdfium.FPDFText_GetCharOrigin(self.textpage, index, x, y)
        return y.value * math.cos(angle) - x.value * math.sin(angle)

    def _extent(self, index: int, angle: float) -> tuple[float, float]:
        """From where to where a character reaches along its line."""
        pdfium.FPDFText_GetCharBox(self.textpage, index, *_BOX_POINTERS)
        left, right, bottom, top = (side.value for side in _BOX)
        if angle == 0:
            return left, right
        cosine, sine = math.cos(angle), math.sin(angle)
        one, other = left * cosine + bottom * sine, right * cosine + top * sine
        return min(one, other), max(one, other)
