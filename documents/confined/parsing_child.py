"""The process that reads a stranger's file, forked by `parsing_server` for this one file.

Reads the file from standard input and writes one frame (see `parsing_frame`) to standard output.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Final

from documents.confined import parsing_frame, sandbox
from documents.formats import PARSERS
from documents.structure import MAX_BLOCKS, Failure, Limits, ParsedDocument, UnreadableError

INPUT: Final = Path("/dev/stdin")


def main(media_type: str, limits: Limits, *, server: int) -> None:
    """Parse standard input and answer; every failure that can be named is a frame, the others end the process."""
    sandbox.die_with(server)
    sandbox.limit_resources(limits)
    sandbox.leave_only(sys.stdin.fileno())
    answer(PARSERS[media_type], limits)


def answer(parser: str, limits: Limits) -> None:
    """Run the parser module named `parser` and write its frame."""
    try:
        frame = parsing_frame.pack(_checked(importlib.import_module(parser).parse(INPUT, limits)))
    except UnreadableError as error:
        frame = parsing_frame.pack_failure(error.code)
    except MemoryError:
        frame = parsing_frame.pack_failure(Failure.OUT_OF_MEMORY)
    sys.stdout.buffer.write(frame)
    sys.stdout.buffer.flush()
    # Libraries that were fed a broken file may crash while they clean up, after the answer is known.
    os._exit(0)


def _checked(document: ParsedDocument) -> ParsedDocument:
    if len(document.blocks) > MAX_BLOCKS:
        raise UnreadableError(Failure.TOO_LARGE_TEXT)
    return document
