"""What a parser yields and the chunker takes: a document's text and the structure found in it.

Imports nothing but the standard library: the parsing child process loads this module and no Django.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_BLOCKS: Final = 1_000_000  # of a document; one with more is refused as too large
LABEL_CHARACTERS: Final = 300  # of a label or a title; the rest is cut off


class Failure(StrEnum):
    """Why a file could not be read; the values are the API's error codes."""

    ENCRYPTED = "encrypted"
    CORRUPT = "corrupt"
    NO_TEXT = "no_text"
    NEEDS_OCR = "needs_ocr"
    TOO_MANY_PAGES = "too_many_pages"
    TOO_LARGE_TEXT = "too_large_text"
    TOO_LARGE_UNPACKED = "too_large_unpacked"
    TOO_DEEP = "too_deep"
    UNSAFE_XML = "unsafe_xml"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    PARSER_CRASHED = "parser_crashed"


class UnreadableError(Exception):
    """A parser's verdict on a file that it cannot turn into text."""

    def __init__(self, code: Failure) -> None:
        super().__init__(code.value)
        self.code = code


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost: wall clock seconds, bytes of address space beyond the libraries', pages, characters.

    `decompressed_bytes`: of all that the file's packed parts hold together, as they come out and not as they are
    declared. `depth`: how many elements, messages or archives may stand within one another.
    """

    seconds: float = 60.0
    memory_bytes: int = 2**30
    pages: int = 2_000
    characters: int = 20_000_000
    decompressed_bytes: int = 2**28
    depth: int = 100


class Kind(StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    CODE = "code"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Block:
    """A run of text that belongs together: `text[start:end]` of the document, markup included.

    `level` is a heading's depth from 1; 0 for every other kind. `label` is a heading's words without its markup, or the
    row that names a table's columns if there is one; empty for every other kind. Blocks are in reading order, do not
    overlap, and hold no page break.
    """

    start: int
    end: int
    kind: Kind = Kind.PARAGRAPH
    level: int = 0
    label: str = ""


@dataclass(slots=True)
class ParsedDocument:
    """A document as decoded text.

    `text`: for txt and md the file's characters as decoded (byte order mark removed, line ends untouched, NUL
    and lone surrogates each replaced by one U+FFFD, because Postgres stores neither); for pdf the pages' text in order;
    for the others what `documents.formats.building` makes of their paragraphs and tables.
    `unread_pages`: the numbers, from 1 and ascending, of pages that show text which the file does not hold as text (a
    scan); such a page may have some text, and where all are such the whole text may be empty. `documents.confined.ocr`
    reads them. `ocr_pages`: how many it has read.
    `page_starts`: where each page, slide or sheet begins in `text`, ascending, the first 0; empty for formats without.
    """

    text: str
    blocks: list[Block] = field(default_factory=list)
    page_starts: list[int] = field(default_factory=list)
    title: str = ""
    unread_pages: list[int] = field(default_factory=list)
    ocr_pages: int = 0
