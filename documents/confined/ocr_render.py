"""The process that draws a stranger's PDF pages for recognition, started by `ocr`. Loads no Django.

Reads the file from standard input and writes each page as a head (`HEAD`: number, width, height) and its grey bytes,
row by row. The pipe holds little: the next page is drawn when this one was taken. Arguments: the parent's process id,
seconds, bytes of memory, and the numbers of the pages.
"""

import os
import struct
import sys
from pathlib import Path
from typing import Final

from documents.confined import sandbox
from documents.structure import Limits

HEAD: Final = struct.Struct("<III")
MAX_PIXELS: Final = 20_000_000  # two A4 pages at 300 dpi; a larger page is drawn at fewer dots an inch


def main(arguments: list[str]) -> None:
    parent_pid, seconds, memory_bytes, *pages = arguments
    sandbox.die_with(int(parent_pid))
    sandbox.limit_resources(Limits(float(seconds), int(memory_bytes)))
    sandbox.leave_only(sys.stdin.fileno())
    from documents.formats import pdf_bitmaps  # noqa: PLC0415  the library comes in only when nothing can be harmed

    for number, width, height, grey in pdf_bitmaps.draw(Path("/dev/stdin"), map(int, pages), most=MAX_PIXELS):
        sys.stdout.buffer.write(HEAD.pack(number, width, height))
        sys.stdout.buffer.write(grey)
        sys.stdout.buffer.flush()
    os._exit(0)  # a library that was fed a broken file may crash while it cleans up
