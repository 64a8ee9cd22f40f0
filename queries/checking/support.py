"""Finds the sentences of an answer that its sources do not support, as far as words can tell. Pure.

A sentence is compared with the sources that it cites, or with all where it cites none. It is unsupported if the sources
lack

- something that it has in quotation marks, word for word (white space, letter case, quotes and dashes aside),
- a number, in digits or in words,
- a name: a word with a capital that does not begin the sentence,
- more than 1 - `ENOUGH` of its words, as the lexical index knows them.

Words are not meaning: a sentence that denies its source in the source's own words passes, and a good answer in another
language than its source fails.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

from documents import sentences
from documents.searching import lexical
from queries.checking import citations
from queries.sources import Source

# Measured on XQuAD; docs/retrieval.md has the figures.
ENOUGH: Final = 0.6
# Fewer words in quotation marks are a term that is spoken of, rather than a quotation.
LEAST_QUOTED_WORDS: Final = 3

Reason = Literal["quote", "number", "name", "words"]


class Unsupported(NamedTuple):
    """The sentence `answer[start:end]`, and the first thing that its sources lack."""

    start: int
    end: int
    reason: Reason


def unsupported(answer: str, sources: Sequence[Source]) -> tuple[Unsupported, ...]:
    """In the answer's order. Not judged: questions, headings, single words, and what introduces a list."""
    given = {source.n: _Evidence(source.text) for source in sources}
    statements = [statement for statement in _statements(answer) if _claims(statement.plain)]
    misquoted = set(_misquoted(answer, statements, given))
    judged = ((statement, _lacking(statement, given, misquoted)) for statement in statements)
    return tuple(Unsupported(one.start, one.end, reason) for one, reason in judged if reason)


@dataclass(frozen=True, slots=True)
class _Statement:
    """A sentence with the citations after it; `plain` is without them and without list marks."""

    start: int
    end: int
    plain: str
    cites: frozenset[int]


class _Evidence:
    """A source's words, numbers and plain text, each computed once, when needed."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(lexical.terms(self.text))

    @cached_property
    def numbers(self) -> frozenset[str]:
        words = re.findall(r"[a-z]+", self.text.lower())
        return frozenset(_numbers(self.text)) | {
            _NUMBER_WORDS[word] for word in words if word in _NUMBER_WORDS
        }

    @cached_property
    def plain(self) -> str:
        return _plain(self.text)


_CITATIONS = re.compile(r"\s*(?:\[\d{1,3}\][ \t]*)+")
_LIST_MARK = re.compile(r"^\s*(?:[-*+•]|\(?\d{1,3}[.)])(?:\s+|$)")
_EMPHASIS = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")


def _statements(answer: str) -> Iterator[_Statement]:
    """The sentences of an answer. A citation after a full stop belongs to the sentence before it."""
    spans: list[tuple[int, int]] = []
    for start, end in sentences.spans(answer):
        found = _CITATIONS.match(answer, start, end)
        if found and spans and "\n" not in answer[spans[-1][1] : start]:
            spans[-1] = (spans[-1][0], start + len(found[0].rstrip()))
            start = found.end()  # noqa: PLW2901  the sentence begins behind it
        if start < end:
            spans.append((start, end))
    for start, end in spans:
        said = answer[start:end]
        yield _Statement(start, end, _unmarked(said), frozenset(citations.cited(said)))


def _unmarked(sentence: str) -> str:
    return _EMPHASIS.sub("", _LIST_MARK.sub("", citations.keep_given(sentence, frozenset())))


def _claims(plain: str) -> bool:
    """Whether it states something that can be judged; "Yes." does not."""
    return not plain.startswith("#") and not plain.endswith(("?", ":")) and len(set(lexical.terms(plain))) > 1


def _lacking(statement: _Statement, given: dict[int, _Evidence], misquoted: set[_Statement]) -> Reason | None:
    evidence = _cited(statement.cites, given)
    if statement in misquoted:
        return "quote"
    plain = _plain(statement.plain).rstrip(".")
    if any(plain in one.plain for one in evidence):
        return None
    if not set(_numbers(statement.plain)) <= {number for one in evidence for number in one.numbers}:
        return "number"
    known = frozenset[str]().union(*(one.terms for one in evidence))
    if any(not known.issuperset(lexical.terms(name)) for name in _names(statement.plain)):
        return "name"
    terms = set(lexical.terms(statement.plain))
    return "words" if len(terms & known) < ENOUGH * len(terms) else None


def _cited(numbers: frozenset[int], given: dict[int, _Evidence]) -> list[_Evidence]:
    return [given[number] for number in sorted(numbers) if number in given] or list(given.values())


# Quotations --------------------------------------------------------------------------------------------------

_QUOTED = re.compile('“([^“”]+)”|"([^"\n]+)"|«([^«»]+)»|„([^„“”]+)[“”]|‘([^‘’]+)’(?!\\w)|「([^「」]+)」')
_LEFT_OUT = re.compile(r"\[?(?:…|\.\.\.)\]?")
_QUOTES_AND_DASHES = str.maketrans(dict.fromkeys('“”„«»"‘’‚`´', "'") | dict.fromkeys("‐‑‒–—−", "-"))


def _misquoted(
    answer: str, statements: Sequence[_Statement], given: dict[int, _Evidence]
) -> Iterator[_Statement]:
    """The sentences with words in quotation marks that do not stand in a source."""
    for quoted in _QUOTED.finditer(answer):
        text = next(filter(None, quoted.groups()), "")
        if len(text.split()) < LEAST_QUOTED_WORDS:
            continue
        over = [one for one in statements if one.start < quoted.end() and quoted.start() < one.end]
        cites = frozenset[int]().union(*(one.cites for one in over))
        parts = [_plain(part).strip(" .,;:!?'") for part in _LEFT_OUT.split(text)]
        if not any(all(part in one.plain for part in parts) for one in _cited(cites, given)):
            yield from over


def _plain(text: str) -> str:
    """In lower case, with single spaces and one kind of quotes and dashes."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_QUOTES_AND_DASHES).casefold().split())


# Numbers and names -------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r",(?=\d{3}(?:\D|$))")
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
)
_ORDINALS = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_TENS = "thirty forty fifty sixty seventy eighty ninety hundred"
_NUMBER_WORDS: Final = {
    **{word: str(number) for number, word in enumerate(_WORDS.split())},
    **{word: str(number) for number, word in enumerate(_ORDINALS.split())},
    **{word: str(10 * number) for number, word in enumerate(_TENS.split(), start=3)},
    "once": "1", "twice": "2", "dozen": "12", "half": "2", "thousand": "1000", "million": "1000000",
}  # fmt: skip
_NAME = re.compile(r"(?<=[^\s.!?:•|(\"'“‘«„*#-] )[^\W\d_a-zß-öø-ÿ][\w'’-]+")


def _numbers(text: str) -> Iterator[str]:
    """The numbers in one form for comparing: 1,190 is 1190 and 2.50 is 2.5."""
    for found in _NUMBER.findall(unicodedata.normalize("NFKC", text)):
        number = _THOUSANDS.sub("", found)
        yield number.rstrip("0").rstrip(".") if number.count(".") == 1 else number


def _names(plain: str) -> list[str]:
    return [name for name in _NAME.findall(plain) if name != name.lower()]
