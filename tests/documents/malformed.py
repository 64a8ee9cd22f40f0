"""Some five hundred files that are damaged or hostile, always the same ones."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from documents.structure import Failure
from tests.documents import bad_pdfs, bad_texts, bombs
from tests.documents.good_files import good

SEED: Final = 20260901
MUTATIONS_EACH: Final = 3  # of each kind, of each good file

# How a malformed file may end: refused at the door, ready, or failed with a code that says why.
REFUSED: Final = {
    "empty_file",
    "unsupported_type",
    "invalid",
}  # at the door; a name such as ".." is no name of a file
CODES: Final = {"ready", *REFUSED, *(code.value for code in Failure if code is not Failure.PARSER_CRASHED)}

Mutation = Callable[[bytes, random.Random, bytes], bytes]  # of a file, by chance, with another file at hand


@dataclass(frozen=True, slots=True)
class Sample:
    """`name` tells it from the others; `filename` is what its uploader calls it."""

    name: str
    filename: str
    content: bytes = field(repr=False)


def samples() -> Iterator[Sample]:
    yield from made()
    yield from mutated()


def made() -> Iterator[Sample]:
    """Each made for one weakness."""
    groups: Mapping[str, Mapping[str, bytes]] = {
        "text": bad_texts.files(),
        "pdf": bad_pdfs.files(),
        "office": bombs.office(),
        "markup": bombs.markup(),
    }
    for group, files in groups.items():
        for name, content in files.items():
            yield Sample(f"{group}/{name}", name, content)
    for number, name in enumerate(bad_texts.NAMES):
        yield Sample(f"name/{number}", name, b"A good text under a bad name %d." % number)
    yield Sample("text/empty.txt", "empty.txt", b"")


def mutated() -> Iterator[Sample]:
    """Good files with chance damage."""
    files = good()
    for filename, content in files.items():
        for kind, mutate in MUTATIONS.items():
            for number in range(MUTATIONS_EACH):
                name = f"{kind}-{number}/{filename}"
                chance = random.Random(f"{SEED} {name}")
                yield Sample(name, filename, mutate(content, chance, chance.choice(list(files.values()))))


def _flips(content: bytes, chance: random.Random, _: bytes, *, share: float) -> bytes:
    out = bytearray(content)
    for _flip in range(max(1, int(share * len(out)))):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def _cut(content: bytes, chance: random.Random, _: bytes) -> bytes:
    return content[: chance.randrange(1, len(content))]


def _beheaded(content: bytes, chance: random.Random, _: bytes) -> bytes:
    return content[chance.randrange(1, len(content)) :]


def _spliced(content: bytes, chance: random.Random, other: bytes) -> bytes:
    return content[: chance.randrange(len(content))] + other[chance.randrange(len(other)) :]


def _inserted(content: bytes, chance: random.Random, other: bytes) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + other + content[place:]


def _repeated(content: bytes, chance: random.Random, _: bytes) -> bytes:
    start, end = _range(content, chance)
    return content[:end] + content[start:end] * chance.choice((1, 10, 1_000)) + content[end:]


def _deleted(content: bytes, chance: random.Random, _: bytes) -> bytes:
    start, end = _range(content, chance)
    return content[:start] + content[end:]


def _zeroed(content: bytes, chance: random.Random, _: bytes) -> bytes:
    start, end = _range(content, chance)
    return content[:start] + bytes(end - start) + content[end:]


def _huge(content: bytes, chance: random.Random, _: bytes) -> bytes:
    """A third of the numbers, written in digits or as the sizes of a zip's parts, are far too large."""
    big = chance.choice((b"4294967295", b"2147483648", b"99999999999999999999", b"-1"))
    out = re.sub(rb"\d+", lambda number: big if chance.random() < 1 / 3 else number[0], content)
    return re.sub(
        rb"(?s)(PK\x03\x04.{18}|PK\x01\x02.{20}).{4}", lambda head: head[1] + b"\xff\xff\xff\x7f", out
    )


def _range(content: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(content))
    return start, min(len(content), start + chance.randrange(1, max(2, len(content) // 3)))


MUTATIONS: Final[Mapping[str, Mutation]] = {
    "flip": partial(_flips, share=0.0),
    "flips": partial(_flips, share=0.01),
    "cut": _cut,
    "beheaded": _beheaded,
    "spliced": _spliced,
    "inserted": _inserted,
    "repeated": _repeated,
    "deleted": _deleted,
    "zeroed": _zeroed,
    "huge": _huge,
}
