"""Answers without a model: quotes and cites the sentences of the passages that answer best. Pure.

Code is never quoted; a row of a table only where no sentence says as much, and then with the names of its columns.

A sentence scores by the share of the question's words in it, weighed by idf; by a part of its neighbours' shares,
because an answer often stands beside the sentence that names the topic; by its passage's score; and a little for
holding the kind of thing that is asked for (a number, a date, a name).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from documents.searching import lexical
from queries.checking import citations
from queries.generating import quoting
from queries.generating.quoting import Quote

MOST_SENTENCES: Final = 3
MOST_CHARACTERS: Final = 500
# A sentence past the first must be worth this part of the best one.
WORTH_ADDING: Final = 0.6
# Weights of the other scores, against 1 for a sentence's own share of the question's words.
PASSAGE: Final = 1.0
NEIGHBOUR: Final = 0.3
KIND: Final = 0.2
ROW: Final = 0.3  # what a row of a table, which reads worse, is worth less


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk. `n`, from 1, is the number of its source; `start` is where it begins in that source's text.

    `score`: the fused score, 0 to 1. `heading`: the path of headings that it stands under, joined by " > ".
    """

    n: int
    text: str
    score: float
    heading: str = ""
    start: int = 0


@dataclass(frozen=True, slots=True)
class Extract:
    """The answer on one line with its citations, and its quotes; both empty where nothing answers."""

    text: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    quote: Quote
    worth: float


def answer(
    question: str,
    passages: Sequence[Passage],
    *,
    idf: Mapping[str, float] | None = None,
    threshold: float = 0.0,
) -> Extract:
    """At most three sentences, about 500 characters together, each cited as `[n]`.

    `idf` weighs the question's terms; a term that is missing there counts nothing, and without `idf` all count the
    same. The answer is empty where no passage scores `threshold`.
    """
    if max((passage.score for passage in passages), default=0.0) < threshold:
        return Extract("", ())
    weights = {term: 1.0 if idf is None else idf.get(term, 0.0) for term in lexical.terms(question)}
    asked = _asked_for(question)
    found = [candidate for passage in passages for candidate in _candidates(passage, weights, asked)]
    found.sort(key=lambda candidate: (-candidate.worth, candidate.quote.n, candidate.quote.start))
    quotes = sorted(_chosen(found), key=lambda quote: (quote.n, quote.start))
    return Extract(" ".join(f"{_said(quote)} [{quote.n}]" for quote in quotes), tuple(quotes))


def _said(quote: Quote) -> str:
    """The quote on one line, without the document's own [4], which would look like a citation of source 4."""
    return citations.keep_given(" ".join(quote.said.split()), frozenset())


def _candidates(
    passage: Passage, weights: Mapping[str, float], asked: re.Pattern[str] | None
) -> Iterator[_Candidate]:
    quotes = list(quoting.quotes(passage.text, heading=passage.heading))
    total = sum(weights.values()) or 1.0
    shares = [_shared(quote.text, weights) / total for quote in quotes]
    for quote, share, before, after in zip(quotes, shares, [0.0, *shares], [*shares[1:], 0.0], strict=False):
        if _answers_nothing(quote.text) or _is_heading(quote.text, passage.heading):
            continue
        right_kind = asked is not None and asked.search(quote.text) is not None
        form = -ROW if quote.is_row else NEIGHBOUR * max(before, after)
        placed = replace(quote, n=passage.n, start=passage.start + quote.start, end=passage.start + quote.end)
        yield _Candidate(placed, share + form + KIND * right_kind + PASSAGE * passage.score)


def _is_heading(text: str, path: str) -> bool:
    """Whether the line is one of its own headings, which answer nothing by themselves."""
    line = " ".join(text.strip(" #*").casefold().split())
    return any(line == " ".join(label.casefold().split()) for label in path.split(" > "))


def _shared(sentence: str, weights: Mapping[str, float]) -> float:
    # In a fixed order: the last digit of a sum of floats depends on it, and would decide between equal sentences.
    return sum(weights[term] for term in dict.fromkeys(lexical.terms(sentence)) if term in weights)


def _answers_nothing(sentence: str) -> bool:
    """Headings and questions, which repeat the question's words but answer nothing; and a lone "2." or "Certainly!"."""
    return sentence.startswith("#") or sentence.endswith("?") or len(sentence) < 20


_NUMBER_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million|billion|half|third|quarter"
_KINDS: Final = (
    (r"when|(?:what|which) (?:year|date|day|month|century|decade)", r"\d"),
    (
        (
            r"how (?:many|much|old|long|far|tall|large|big|high|fast|often)"
            r"|(?:what|which) (?:number|percentage|amount|percent|price)"
        ),
        rf"\d|\b(?:{_NUMBER_WORDS})\b",
    ),
    (r"who|whom|whose", r"[^\W\d_a-z]\w+ [^\W\d_a-z]"),
)
_ASKED = [
    (re.compile(rf"\b(?:{asking})\b", re.IGNORECASE), re.compile(answering)) for asking, answering in _KINDS
]


def _asked_for(question: str) -> re.Pattern[str] | None:
    """What the answer should hold, by the question word: a number, a date or a name; None if it does not tell."""
    return next((answering for asking, answering in _ASKED if asking.search(question)), None)


def _chosen(found: Sequence[_Candidate]) -> list[Quote]:
    """The best that fit, without repeating the same words from another passage."""
    chosen: dict[str, Quote] = {}
    room = MOST_CHARACTERS
    for candidate in found:
        words = " ".join(candidate.quote.text.split()).casefold()
        if len(chosen) == MOST_SENTENCES or candidate.worth < WORTH_ADDING * found[0].worth:
            break
        if words not in chosen and len(words) <= room:
            chosen[words] = candidate.quote
            room -= len(words)
    return list(chosen.values())
