"""PDF pages as grey bitmaps."""

import ctypes
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pypdfium2_raw as pdfium

from documents.formats import pdf

DPI: Final = 300  # what recognition works best at
WHITE: Final = 0xFFFFFFFF


def draw(path: Path, numbers: Iterable[int], *, most: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Each page's number, width and height in pixels, at most `most` of them, and its bytes row by row.

    A page that cannot be drawn is left out.
    """
    with pdf.opened(path.read_bytes()) as document:
        for number in numbers:
            with pdf.loaded(document, number - 1) as page:
                if page:
                    width, height = _size(page, most)
                    yield number, width, height, _drawn(page, width, height)


def _size(page: pdfium.FPDF_PAGE, most: int) -> tuple[int, int]:
    width, height = pdfium.FPDF_GetPageWidthF(page), pdfium.FPDF_GetPageHeightF(page)
    scale = min(DPI / 72, math.sqrt(most / max(1.0, width * height)))
    return max(1, math.floor(width * scale)), max(1, math.floor(height * scale))


def _drawn(page: pdfium.FPDF_PAGE, width: int, height: int) -> bytes:
    grey = ctypes.create_string_buffer(width * height)
    bitmap = pdfium.FPDFBitmap_CreateEx(width, height, pdfium.FPDFBitmap_Gray, grey, width)
    pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, WHITE)
    pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, pdfium.FPDF_GRAYSCALE)
    pdfium.FPDFBitmap_Destroy(bitmap)
    return grey.raw
