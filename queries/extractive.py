"""Answers without a model: the sentences of the retrieved passages that best answer, quoted and cited. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from documents import lexical, sentences

MOST_SENTENCES: Final = 3
MOST_CHARACTERS: Final = 500
# A sentence past the first must be worth this part of the best one.
WORTH_ADDING: Final = 0.5
# A sentence longer than this is cut, at a space, around the words that the question shares with it.
LONGEST_QUOTE: Final = 400
# How much a passage's own score, beside its sentences' words, decides.
PASSAGE: Final = 1.0
NEIGHBOUR: Final = 0.3
TYPE: Final = 0.15


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk: `n` counts from 1 and is what a citation names; `score` is the fused score, 0..1."""

    n: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of passage `n`, verbatim: `text == passage.text[start:end]`."""

    n: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Extract:
    """The answer with its citations, and what it quotes; both empty where nothing answers."""

    text: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True)
class _Sentence:
    passage: Passage
    start: int
    end: int
    score: float


def answer(
    question: str,
    passages: Sequence[Passage],
    *,
    idf: Mapping[str, float] | None = None,
    threshold: float = 0.0,
) -> Extract:
    """At most three sentences, about 500 characters, cited as `[n]`.

    `idf` weighs the question's terms by the whole corpus (a term that it lacks counts as 0); without it every
    term counts the same. Passages that score under `threshold` are left out.
    """
    near = [passage for passage in passages if passage.score >= threshold]
    words = {term: 1.0 if idf is None else idf.get(term, 0.0) for term in lexical.terms(question)}
    cue = _cue(question)
    scored = [sentence for passage in near for sentence in _scored(passage, words, cue)]
    scored.sort(key=lambda sentence: (-sentence.score, sentence.passage.n, sentence.start))
    return _extract(_chosen(scored))


def _scored(passage: Passage, words: Mapping[str, float], cue: re.Pattern[str] | None) -> list[_Sentence]:
    spans = sentences.spans(passage.text)
    total = sum(words.values()) or 1.0
    own = [_overlap(passage.text[start:end], words) / total for start, end in spans]
    out: list[_Sentence] = []
    for i, (start, end) in enumerate(spans):
        around = max(own[i - 1] if i else 0.0, own[i + 1] if i + 1 < len(own) else 0.0)
        fits = cue is not None and cue.search(passage.text, start, end) is not None
        score = own[i] + NEIGHBOUR * around + TYPE * fits + PASSAGE * passage.score
        out.append(_Sentence(passage, start, end, score))
    return out


def _overlap(sentence: str, words: Mapping[str, float]) -> float:
    return sum(words[term] for term in set(lexical.terms(sentence)) if term in words)


_CUES: Final = (
    (
        re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century|decade)\b", re.I),
        re.compile(r"\d"),
    ),
    (
        re.compile(
            r"\bhow (?:many|much|old|long|far|tall|large|big|high|fast|often)\b|\bpercent|\bwhat (?:number|percentage|amount)\b",
            re.I,
        ),
        re.compile(
            r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|dozen|hundred|thousand|million|billion|half|third|quarter)\b"
        ),
    ),
    (re.compile(r"\bwho(?:se|m)?\b", re.I), re.compile(r"[A-Z]\w+ [A-Z]")),
)


def _cue(question: str) -> re.Pattern[str] | None:
    return next((found for asked, found in _CUES if asked.search(question)), None)


def _chosen(scored: Sequence[_Sentence]) -> list[_Sentence]:
    chosen: list[_Sentence] = []
    room = MOST_CHARACTERS
    for sentence in scored:
        length = sentence.end - sentence.start
        if len(chosen) == MOST_SENTENCES or (chosen and sentence.score < WORTH_ADDING * scored[0].score):
            break
        if not chosen or length <= room:
            chosen.append(sentence)
            room -= length
    return chosen


def _extract(chosen: Sequence[_Sentence]) -> Extract:
    ordered = sorted(chosen, key=lambda sentence: (sentence.passage.n, sentence.start))
    quotes = tuple(Quote(s.passage.n, s.start, s.end, s.passage.text[s.start : s.end]) for s in ordered)
    return Extract(" ".join(f"{' '.join(quote.text.split())} [{quote.n}]" for quote in quotes), quotes)
