"""Which pages of a PDF show text that the file does not hold as text: they need optical character recognition.

A page with an invisible layer of recognised text holds text. These need recognition:
- a page without text that shows something: an image, or so many drawn paths that they may well be letters;
- a page that is an image with little text on it, as of a scan that somebody numbered or stamped;
- a page whose fonts do not say which characters their shapes are: what PDFium gives for them are numbers of shapes.
"""

import ctypes
from collections.abc import Iterator
from typing import Final

import pypdfium2_raw as pdfium

from documents.formats.pdf_columns import Line

LETTERS: Final = 100  # on an image that fills the page: less may be a stamp, more is a recognised text
FILLS: Final = 0.75  # of the page's area
SEEN: Final = 0.02  # of the page's area: smaller images are ornaments
PATHS: Final = 200  # a page without text that draws as many may have its letters drawn
OBJECTS: Final = 5_000  # of a page that are looked at
NESTED: Final = 3
SAMPLE: Final = 200  # characters of a page that are asked whether anything says what they are
UNKNOWN: Final = 0.3  # of these: a text with a third of its letters unknown has hardly a whole word
_PRIVATE: Final = ((0xE000, 0xF8FF), (0xF0000, 0x10FFFF), (0xFFFD, 0xFFFF), (0x00, 0x08), (0x0E, 0x1F))


def is_garbled(textpage: pdfium.FPDF_TEXTPAGE) -> bool:
    """Whether for much of the page's text no font says which characters it is."""
    count = max(0, pdfium.FPDFText_CountChars(textpage))
    codes = [
        (index, pdfium.FPDFText_GetUnicode(textpage, index))
        for index in range(0, count, max(1, count // SAMPLE))
    ]
    visible = [(index, code) for index, code in codes if code not in {0x02, 0x09, 0x0A, 0x0D, 0x20, 0xA0}]
    unknown = sum(
        any(first <= code <= last for first, last in _PRIVATE)
        or pdfium.FPDFText_HasUnicodeMapError(textpage, index) == 1
        for index, code in visible
    )
    return bool(unknown > UNKNOWN * len(visible))


def is_unread(page: pdfium.FPDF_PAGE, lines: list[Line]) -> bool:
    """Whether the page shows text, or may do so, that is not among its lines."""
    letters = sum(map(str.isalnum, "".join(line.text for line in lines)))
    if letters >= LETTERS:
        return False
    share, paths = _images_and_paths(page)
    if letters:
        return share >= FILLS
    return share >= SEEN or paths >= PATHS


def _images_and_paths(page: pdfium.FPDF_PAGE) -> tuple[float, int]:
    """How much of the page its images cover, of 1, and how many paths it draws."""
    area = max(1.0, pdfium.FPDF_GetPageWidthF(page) * pdfium.FPDF_GetPageHeightF(page))
    covered, paths = 0.0, 0
    count = min(OBJECTS, pdfium.FPDFPage_CountObjects(page))
    for item in (pdfium.FPDFPage_GetObject(page, index) for index in range(count)):
        for part, kind in _parts(item, NESTED):
            paths += kind == pdfium.FPDF_PAGEOBJ_PATH
            if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
                # An image in a form is as large as the form at most, and a scanner's form holds nothing else.
                covered += _area(part if part is item else item)
    return covered / area, paths


def _parts(item: pdfium.FPDF_PAGEOBJECT, depth: int) -> Iterator[tuple[pdfium.FPDF_PAGEOBJECT, int]]:
    """The object, or what it is made of where it is a form."""
    kind = pdfium.FPDFPageObj_GetType(item)
    if kind != pdfium.FPDF_PAGEOBJ_FORM:
        yield item, kind
    elif depth:
        for index in range(min(OBJECTS, pdfium.FPDFFormObj_CountObjects(item))):
            yield from _parts(pdfium.FPDFFormObj_GetObject(item, index), depth - 1)


def _area(item: pdfium.FPDF_PAGEOBJECT) -> float:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    pdfium.FPDFPageObj_GetBounds(item, left, bottom, right, top)
    return max(0.0, right.value - left.value) * max(0.0, top.value - bottom.value)
