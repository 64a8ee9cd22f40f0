"""Pages as a scanner makes them: drawn, greyed and specked, and put into a PDF as an image."""

import random
from pathlib import Path

from documents.formats import pdf_bitmaps
from tests.documents import pdfs

PIXELS = 20_000_000


def scanned(folder: Path, page: pdfs.Page) -> pdfs.Page:
    """What `page` shows, as an image and nothing else."""
    path = folder / "drawn"
    path.write_bytes(pdfs.pdf(page))
    ((_, width, height, grey),) = pdf_bitmaps.draw(path, [1], most=PIXELS)
    return pdfs.Page(picture=pdfs.Picture(width, height, _worn(grey)))


def _worn(grey: bytes) -> bytes:
    """Paper that is not white, ink that is not black, and a speck in a thousand pixels."""
    worn = bytearray(grey.translate(bytes(40 + level * 195 // 255 for level in range(256))))
    chance = random.Random(7)
    for _ in range(len(worn) // 1000):
        worn[chance.randrange(len(worn))] = chance.randrange(256)
    return bytes(worn)
