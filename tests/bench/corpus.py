"""Files that nobody has seen before: sentences of our own pages, put together at random."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from textwrap import wrap
from typing import Final

from tests.documents import pdfs

DOCS: Final = Path(__file__).parents[2] / "docs"
_SENTENCES_A_PARAGRAPH: Final = 5
_LINE, _LINES = 85, 45  # characters; lines of a page
_SENTENCE = re.compile(r"[A-Z][A-Za-z0-9 ,;:()'-]{40,200}\.")


@dataclass(frozen=True)
class File:
    name: str
    content: bytes


@cache
def sentences() -> Sequence[str]:
    pages = (path.read_text() for path in sorted(DOCS.glob("*.md")))
    return sorted({sentence for page in pages for sentence in _SENTENCE.findall(page)})


def prose(random: Random, characters: int) -> str:
    """Paragraphs of so many characters or a few more."""
    paragraphs: list[str] = []
    while sum(map(len, paragraphs)) < characters:
        paragraphs.append(" ".join(random.sample(sentences(), _SENTENCES_A_PARAGRAPH)))
    return "\n\n".join(paragraphs)


def text(random: Random, characters: int) -> File:
    return File(f"{_name(random)}.txt", prose(random, characters).encode())


def report(random: Random, pages: int = 10) -> File:
    """A PDF of full pages without a table."""
    lines = iter(wrap(prose(random, pages * _LINES * _LINE), _LINE))
    made = [pdfs.Page(pdfs.flowing(*islice(lines, _LINES))) for _ in range(pages)]
    return File(f"{_name(random)}.pdf", pdfs.pdf(*made))


def _name(random: Random) -> str:
    return f"report-{random.getrandbits(64):016x}"


WORKLOADS: Final[Mapping[str, Callable[[Random], Sequence[File]]]] = {
    "texts of 10 chunks": lambda random: [text(random, 8_500) for _ in range(64)],
    "texts of 1 or 2 chunks": lambda random: [text(random, random.randint(600, 1_500)) for _ in range(320)],
    "PDFs of 10 pages": lambda random: [report(random) for _ in range(16)],
}
