"""How a parsed document crosses from the parsing child to its parent: flat arrays and UTF-8, nothing that can run.

The child may have been taken over by the file it read, so `unpack` believes nothing: it checks each length, offset
and order, and the parent stops reading after `largest_frame` bytes.
"""

import struct
from itertools import pairwise
from typing import Final

from documents.structure import LABEL_CHARACTERS, MAX_BLOCKS, Block, Failure, Kind, Limits, ParsedDocument

_KINDS: Final = list(Kind)
_FAILURES: Final = list(Failure)
# Magic, failure (0: none, else its place in Failure counted from 1), then bytes of text, of title, of labels, and how
# many blocks, pages and unread pages follow.
_HEAD: Final = struct.Struct("<4sBIIIIII")
_MAGIC: Final = b"RAG2"
# Start, end, kind, level, characters of the label.
_BLOCK: Final = struct.Struct("<IIBBH")
_PAGE: Final = struct.Struct("<I")


class MalformedFrameError(Exception):
    """The bytes are not what `pack` makes, or say what cannot be."""


def largest_frame(limits: Limits) -> int:
    """Bytes that no honest answer within `limits` exceeds."""
    text = 4 * limits.characters
    labels = 4 * min(limits.characters, MAX_BLOCKS * LABEL_CHARACTERS)
    return (
        _HEAD.size
        + text
        + labels
        + 4 * LABEL_CHARACTERS
        + _BLOCK.size * MAX_BLOCKS
        + 2 * _PAGE.size * limits.pages
    )


def pack(document: ParsedDocument) -> bytes:
    """`document` as one frame."""
    text, title = document.text.encode(), document.title.encode()
    labels = "".join(block.label for block in document.blocks).encode()
    head = _HEAD.pack(
        _MAGIC,
        0,
        len(text),
        len(title),
        len(labels),
        len(document.blocks),
        len(document.page_starts),
        len(document.unread_pages),
    )
    blocks = b"".join(
        _BLOCK.pack(block.start, block.end, _KINDS.index(block.kind), block.level, len(block.label))
        for block in document.blocks
    )
    pages = b"".join(map(_PAGE.pack, [*document.page_starts, *document.unread_pages]))
    return b"".join((head, text, title, labels, blocks, pages))


def pack_failure(code: Failure) -> bytes:
    """A frame that says only why there is no document."""
    return _HEAD.pack(_MAGIC, _FAILURES.index(code) + 1, 0, 0, 0, 0, 0, 0)


def unpack(frame: bytes, limits: Limits) -> ParsedDocument | Failure:
    """The document or the child's verdict; `MalformedFrameError` when `frame` is not a whole and consistent one."""
    if len(frame) < _HEAD.size:
        raise MalformedFrameError("too short")
    magic, failure, *sizes = _HEAD.unpack_from(frame)
    text_bytes, title_bytes, label_bytes, block_count, *page_counts = sizes
    pages = (count * _PAGE.size for count in page_counts)
    lengths = (text_bytes, title_bytes, label_bytes, block_count * _BLOCK.size, *pages)
    if magic != _MAGIC or _HEAD.size + sum(lengths) != len(frame) or block_count > MAX_BLOCKS:
        raise MalformedFrameError("sizes do not add up")
    if failure:
        return _failure(failure)
    parts, position = [], _HEAD.size
    for length in lengths:
        parts.append(frame[position : position + length])
        position += length
    try:
        text, title, labels = (part.decode() for part in parts[:3])
    except UnicodeDecodeError as error:
        raise MalformedFrameError("not UTF-8") from error
    document = ParsedDocument(text=text, blocks=_blocks(parts[3], labels), title=title)
    document.page_starts = [start for (start,) in _PAGE.iter_unpack(parts[4])]
    document.unread_pages = [number for (number,) in _PAGE.iter_unpack(parts[5])]
    _check(document, limits)
    return document


def _failure(place: int) -> Failure:
    if place > len(_FAILURES):
        raise MalformedFrameError("unknown failure")
    return _FAILURES[place - 1]


def _blocks(packed: bytes, labels: str) -> list[Block]:
    blocks, position = [], 0
    for start, end, kind, level, length in _BLOCK.iter_unpack(packed):
        if kind >= len(_KINDS):
            raise MalformedFrameError("unknown kind of block")
        blocks.append(Block(start, end, _KINDS[kind], level, labels[position : position + length]))
        position += length
    if position != len(labels):
        raise MalformedFrameError("labels do not add up")
    return blocks


def _check(document: ParsedDocument, limits: Limits) -> None:
    """What `structure` promises, so that whoever takes the document may rely on it."""
    text, starts = document.text, document.page_starts
    if len(text) > limits.characters or len(document.title) > LABEL_CHARACTERS or len(starts) > limits.pages:
        raise MalformedFrameError("over a limit")
    if "\0" in text or "\0" in document.title:
        raise MalformedFrameError("holds NUL")
    if starts and (starts[0] != 0 or starts[-1] > len(text) or any(a >= b for a, b in pairwise(starts))):
        raise MalformedFrameError("pages are out of order")
    numbers = [0, *document.unread_pages]
    if numbers[-1] > len(starts) or any(a >= b for a, b in pairwise(numbers)):
        raise MalformedFrameError("unread pages are out of order")
    _check_blocks(document)


def _check_blocks(document: ParsedDocument) -> None:
    reached = 0
    page_starts = iter([*document.page_starts[1:], len(document.text) + 1])
    next_page = next(page_starts)
    for block in document.blocks:
        if not reached <= block.start < block.end <= len(document.text):
            raise MalformedFrameError("blocks are out of order")
        while next_page <= block.start:
            next_page = next(page_starts)
        if block.end > next_page:
            raise MalformedFrameError("a block holds a page break")
        heading = block.kind is Kind.HEADING
        labelled = bool(block.label) and block.kind is not Kind.TABLE
        if heading != labelled or heading != (1 <= block.level <= 9) or "\0" in block.label:
            raise MalformedFrameError("a label does not fit its block")
        if len(block.label) > LABEL_CHARACTERS or (not heading and block.level):
            raise MalformedFrameError("a label does not fit its block")
        reached = block.end
