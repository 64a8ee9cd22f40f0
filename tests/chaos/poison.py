"""Files that end their reader: by its memory, by its time, or with the worker itself."""

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from documents.structure import Failure
from tests.chaos.planted import sitecustomize
from tests.chaos.uploading import File
from tests.documents import bad_pdfs, bombs

PYTHONPATH: Final = str(Path(sitecustomize.__file__).parent)
CODES: Final = ("interrupted", Failure.TIMED_OUT.value, Failure.OUT_OF_MEMORY.value)


def files(count: int) -> list[File]:
    """Each kind in turn, no two of the same bytes."""
    return list(islice(_files(), count))


def _files() -> Iterator[File]:
    pdfs, markup = bad_pdfs.files(), bombs.markup()
    slow = cycle(("attributes.html", "many-parts.eml"))
    swelling = cycle(("bomb-twice.pdf", "form-in-itself.pdf"))
    number = 0
    while True:
        number += 1
        yield File(f"killer-{number}.txt", sitecustomize.MARK + b" %d" % number, is_poison=True)
        name = next(slow)
        yield File(f"{number}-{name}", markup[name] + b"\n" * number, is_poison=True)
        name = next(swelling)
        yield File(f"{number}-{name}", pdfs[name] + b"\n" * number, is_poison=True)
