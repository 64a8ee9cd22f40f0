"""Reads with Tesseract the pages that show text without holding it, where it is installed.

Two kinds of children do it, each confined as the one that parses (`sandbox`): one draws the pages, one at a
time, through a pipe (`ocr_render`), and for each page one becomes Tesseract (`ocr_launch`), which
has the image as its input and answers with words and where they stand.
"""

import logging
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from django.conf import settings

from documents.confined import ocr_children, ocr_text
from documents.confined.ocr_children import Bitmap, RenderingFailed
from documents.confined.parsing import ParseFailed
from documents.structure import Failure, Limits, ParsedDocument

logger = logging.getLogger(__name__)

PROGRAM: Final = "tesseract"


def is_enabled() -> bool:
    """Whether pages can be read: Tesseract is there, and the settings do not say no."""
    return settings.OCR_ENABLED and shutil.which(PROGRAM) is not None


def is_needed(parsed: ParsedDocument) -> bool:
    """Whether `complete` would take long, at seconds a page."""
    return bool(parsed.unread_pages) and is_enabled()


def complete(path: Path, parsed: ParsedDocument, *, limits: Limits) -> ParsedDocument:
    """`parsed`, read from the file at `path`, with the text of the pages that need recognition, where it can be had.

    What stays in `unread_pages` was not read: recognition is off, failed, or reached its limit. Raises `ParseFailed`
    when there is no text then.
    """
    if is_needed(parsed):
        parsed = ocr_text.filled(parsed, _read(path, parsed.unread_pages, limits))
    if len(parsed.text) > limits.characters:
        raise ParseFailed(Failure.TOO_LARGE_TEXT, limits)
    if not parsed.text.strip() and parsed.page_starts:
        raise ParseFailed(Failure.NEEDS_OCR if parsed.unread_pages else Failure.NO_TEXT, limits)
    return parsed


def languages() -> list[str]:
    """The languages that Tesseract has models for; none where it is not installed."""
    program = shutil.which(PROGRAM)
    if program is None:
        return []
    told = subprocess.run(
        [program, "--list-langs"], capture_output=True, text=True, timeout=10, check=False, env=_environment()
    )
    return [line.strip() for line in told.stdout.splitlines()[1:]]


def _environment() -> dict[str, str]:
    return {"TESSDATA_PREFIX": settings.OCR_MODELS} if settings.OCR_MODELS else {}


def _read(path: Path, numbers: Sequence[int], limits: Limits) -> dict[int, ocr_text.Page]:
    """The pages that could be read, by number, within the limits of pages and seconds."""
    deadline = monotonic() + settings.OCR_SECONDS
    waiting = list(numbers[: settings.OCR_MAX_PAGES])
    found: dict[int, ocr_text.Page] = {}
    while waiting and monotonic() < deadline:
        try:
            with ocr_children.drawing(
                path, waiting, limits=limits, seconds=deadline - monotonic()
            ) as bitmaps:
                for bitmap in bitmaps:
                    waiting = [number for number in waiting if number > bitmap.number]
                    text = _recognised(bitmap, limits, deadline)
                    if text is not None:
                        found[bitmap.number] = text
            waiting = []
        except RenderingFailed as error:
            logger.info("page %d could not be drawn: %s", waiting[0], error)
            waiting = waiting[1:]
    return found


def _recognised(bitmap: Bitmap, limits: Limits, deadline: float) -> ocr_text.Page | None:
    """The page's text, empty where it shows none; None when it could not be read."""
    seconds = min(settings.OCR_PAGE_SECONDS, deadline - monotonic())
    program = shutil.which(PROGRAM)
    if seconds <= 0 or program is None:
        return None
    arguments = [str(Path(program).resolve()), settings.OCR_MODELS, "+".join(settings.OCR_LANGUAGES)]
    tsv = ocr_children.recognise(bitmap, arguments, limits=limits, seconds=seconds)
    return None if tsv is None else ocr_text.page(tsv)
