"""PDF, by PDFium: each page's text in reading order.

Words that PDFium found broken at a line's end are put together (see `documents.formats.pdf_words`). Pages stand a blank line apart.
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pypdfium2_raw as pdfium

from documents.formats import pdf_blocks, pdf_cells, pdf_lines, pdf_pages, pdf_words
from documents.formats.pdf_columns import Line
from documents.structure import LABEL_CHARACTERS, Block, Failure, Limits, ParsedDocument, UnreadableError

PAGE_BREAK: Final = "\n\n"
# What programs write where a title was never given.
_NO_TITLE: Final = re.compile(
    r"untitled.*|.*\.(docx?|pdf|indd|tex|dvi|pptx?|xlsx?|odt|rtf|html?|qxd|pages)|microsoft (word|powerpoint) - .*"
    r"|(document|slide|powerpoint presentation|title|none|\W*|https?:.*)\d*",
    re.IGNORECASE | re.DOTALL,
)


def parse(path: Path, limits: Limits) -> ParsedDocument:
    """The document's text with the page starts, and blocks as far as line gaps and font sizes tell them.

    The text is empty where all that the pages show needs OCR; `unread_pages` says which do.
    """
    with opened(path.read_bytes()) as document:
        count = pdfium.FPDF_GetPageCount(document)
        if count < 1:
            raise UnreadableError(Failure.CORRUPT)
        if count > limits.pages:
            raise UnreadableError(Failure.TOO_MANY_PAGES)
        unread: list[int] = []
        pages = list(_pages(document, count, limits, unread))
        if not unread and not any(line.text.strip() for page in pages for line in page):
            raise UnreadableError(Failure.NO_TEXT)
        parsed = _assemble(pages)
        parsed.unread_pages = unread
        if len(parsed.text) > limits.characters:
            raise UnreadableError(Failure.TOO_LARGE_TEXT)
        parsed.title = _title(document) or _first_heading(parsed)
    return parsed


@contextmanager
def opened(content: bytes) -> Iterator[pdfium.FPDF_DOCUMENT]:
    """PDFium's handle of the document; without a password, which is also the empty user password."""
    pdfium.FPDF_InitLibraryWithConfig(pdfium.FPDF_LIBRARY_CONFIG(version=2))
    document = pdfium.FPDF_LoadMemDocument64(content, len(content), None)
    if not document:
        locked = {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}
        error = pdfium.FPDF_GetLastError()
        raise UnreadableError(Failure.ENCRYPTED if error in locked else Failure.CORRUPT)
    try:
        yield document
    finally:
        pdfium.FPDF_CloseDocument(document)


@contextmanager
def loaded(document: pdfium.FPDF_DOCUMENT, number: int) -> Iterator[pdfium.FPDF_PAGE | None]:
    page = pdfium.FPDF_LoadPage(document, number)
    try:
        yield page or None
    finally:
        if page:
            pdfium.FPDF_ClosePage(page)


def _pages(
    document: pdfium.FPDF_DOCUMENT, count: int, limits: Limits, unread: list[int]
) -> Iterator[list[Line]]:
    """Each page's lines; a page that PDFium cannot read has none. The numbers of those that need OCR go to `unread`."""
    characters = 0
    for number in range(count):
        with loaded(document, number) as page:
            read = pdf_lines.read(page) if page else []
            lines = read or []
            if page and (read is None or pdf_pages.is_unread(page, lines)):
                unread.append(number + 1)
        characters += sum(len(line.text) + 1 for line in lines)
        if characters > limits.characters:
            raise UnreadableError(Failure.TOO_LARGE_TEXT)
        yield lines


def _assemble(pages: list[list[Line]]) -> ParsedDocument:
    """One text from the pages' lines, with the blocks shifted to where their page begins."""
    pdf_words.mend_hyphens(pages)
    pdf_cells.name_continued(pages)
    levels = pdf_blocks.heading_levels(pages)
    texts: list[str] = []
    parsed = ParsedDocument(text="")
    position = 0
    for lines in pages:
        parsed.page_starts.append(position)
        text, blocks = pdf_blocks.page(lines, levels)
        parsed.blocks += [
            Block(block.start + position, block.end + position, block.kind, block.level, block.label)
            for block in blocks
        ]
        texts.append(text)
        position += len(text) + len(PAGE_BREAK)
    parsed.text = PAGE_BREAK.join(texts)
    parsed.blocks = pdf_blocks.closed_ranks(parsed.blocks)
    return parsed


def _title(document: pdfium.FPDF_DOCUMENT) -> str:
    """The title in the metadata, unless it is a file name or what some program writes by itself."""
    size = min(pdfium.FPDF_GetMetaText(document, b"Title", None, 0), 8 * LABEL_CHARACTERS)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDF_GetMetaText(document, b"Title", buffer, size)
    title = " ".join(pdf_words.clean(buffer.raw.decode("utf-16-le", "replace")).split())
    sane = len(title) > 2 and not _NO_TITLE.fullmatch(title) and "\N{REPLACEMENT CHARACTER}" not in title
    return title[:LABEL_CHARACTERS] if sane else ""


def _first_heading(parsed: ParsedDocument) -> str:
    """The first heading of the first page."""
    beyond = parsed.page_starts[1] if len(parsed.page_starts) > 1 else len(parsed.text) + 1
    return next((block.label for block in parsed.blocks if block.label and block.start < beyond), "")
