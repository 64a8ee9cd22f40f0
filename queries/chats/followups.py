"""Puts into a follow-up what it leaves to its conversation, so that it can be searched for by itself.

A chat model rewrites it, where there is one. Where there is none, or where it fails, a rule adds to a question that
leans on the conversation the subject of the question before it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from apikeys.purses import Purse
from documents.searching import lexical
from queries.answers import Turn
from queries.chats import conversations
from queries.checking import citations
from queries.generating import generation, prompts

Rarity = Callable[[str], Mapping[str, float]]
"""Gives how rare each index term of a text is, such as its inverse document frequency; of those that are known alone."""

# The most words that are taken over; the most of them from a question without names; the most names from an answer.
MOST_TAKEN: Final = 6
MOST_WORDS: Final = 3
MOST_OF_ANSWER: Final = 2
TAKEN_OVER: Final = 0.25  # the weight of a word that was taken over, against 1 for the question's own
FEW_WORDS: Final = 1  # a question with no more index terms than this leans on the conversation
LONGEST_WORD: Final = 40  # longer ones are addresses, or clauses in a script without spaces

_LEANING = re.compile(
    r"\b(?:it|its|itself|they|them|their|theirs|themselves|this|that|these|those|he|him|his|himself|she|her|hers|herself"
    r"|there|then|one|ones|former|latter|same|such|another|others?|else|instead)\b"
    r"|^\W*(?:and|but|or|so|also|what about|how about|what of|why not)\b",
    re.IGNORECASE,
)
_PERSON = re.compile(r"\b(?:he|him|his|himself|she|her|hers|herself)\b", re.IGNORECASE)
_WORD = re.compile(r"\w(?:[\w'’.,:/_-]*\w)?")


@dataclass(frozen=True, slots=True)
class Standalone:
    """The question to search for, and the milliseconds that it took to find it."""

    text: str
    timings_ms: Mapping[str, float] = field(default_factory=dict)


def standalone(question: str, turns: Sequence[Turn], *, rarity: Rarity, purse: Purse) -> Standalone:
    """The question as it is meant after these turns, oldest first; unchanged where it leaves nothing out."""
    if not turns:
        return Standalone(question)
    started = perf_counter()
    text = ""
    if generation.is_by_model():
        from queries.chats import rewriting  # noqa: PLC0415  slow to load, and needed only here

        text = rewriting.rewritten(question, turns, purse=purse)
    text = text or by_rule(question, turns, rarity=rarity)
    return Standalone(text, {"rewrite": round((perf_counter() - started) * 1000, 1)})


def by_rule(question: str, turns: Sequence[Turn], *, rarity: Rarity) -> str:
    """The question with the words that it takes over. The question before it may have taken them over itself."""
    if not leans(question):
        return question
    turns = _latest(turns)
    weights = rarity("\n".join(turn.text for turn in turns))
    subject: list[str] = []
    people: list[str] = []
    for turn in turns:
        if turn.role == "user":
            subject = [*_subject(turn.text, weights), *_carried(turn.text, subject, people)]
            people = []
        elif turn.text.strip() != prompts.NOT_FOUND:
            names = _names(citations.keep_given(turn.text, frozenset()), weights)
            people = [word for word in names if word.isalpha()][:MOST_OF_ANSWER]
    return " ".join([question, *_new(_carried(question, subject, people), question)])


def _latest(turns: Sequence[Turn]) -> list[Turn]:
    """The last turns, as far back as a conversation is understood by: a program may send a megabyte of them."""
    kept = []
    room = conversations.MOST_CHARACTERS
    for turn in reversed(turns):
        if room <= 0:
            break
        kept.append(turn._replace(text=turn.text[:room]))
        room -= len(turn.text)
    return kept[::-1]


def by_length(text: str) -> dict[str, float]:
    """A rarity that needs no corpus: the more often a word is used, the shorter it is (Zipf, 1935)."""
    return {term: float(len(term)) for term in lexical.terms(text)}


def weighed(idf: Mapping[str, float], question: str) -> dict[str, float]:
    """The weights of words for choosing sentences to quote. Words that were taken over count less than the question's;
    otherwise the sentence that answered the question before would be chosen again."""
    own = set(lexical.terms(question))
    return {term: weight if term in own else TAKEN_OVER * weight for term, weight in idf.items()}


def leans(question: str) -> bool:
    """Whether a question refers to what was said before, or says too little by itself."""
    return _LEANING.search(question) is not None or len(set(lexical.terms(question))) <= FEW_WORDS


def _carried(question: str, subject: Sequence[str], people: Sequence[str]) -> list[str]:
    """The words that a question takes over. Names from the answer only if it speaks of a person: otherwise they would
    bring back the passage that answered the question before."""
    if not leans(question):
        return []
    return [*subject, *(people if _PERSON.search(question) else [])]


def _subject(question: str, weights: Mapping[str, float]) -> list[str]:
    """The names in a question, or without any its rarest words."""
    names = list(_names(question, weights))
    if names:
        return names
    known = {word: _weight(word, weights) for word in _words(question)}
    rarest = sorted((word for word in known if known[word]), key=lambda word: -known[word])[:MOST_WORDS]
    return [word for word in known if word in rarest]


def _names(text: str, weights: Mapping[str, float]) -> Iterator[str]:
    """Words that look like names, numbers or codes, and that the corpus has."""
    for match in _WORD.finditer(text):
        word, before = match[0], text[: match.start()].rstrip(" \"'“‘(")
        begins = not before or before[-1] in ".?!:\n"
        named = (word[0].isupper() and not begins) or any(character.isdigit() for character in word)
        if named and len(word) <= LONGEST_WORD and _weight(word, weights):
            yield word


def _weight(word: str, weights: Mapping[str, float]) -> float:
    return max((weights.get(term, 0.0) for term in lexical.terms(word)), default=0.0)


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if len(word) <= LONGEST_WORD]


def _new(subject: Sequence[str], question: str) -> list[str]:
    """The first words of a subject, without repetition, that the question does not have."""
    known = set(lexical.terms(question))
    taken = []
    for word in subject:
        terms = set(lexical.terms(word))
        if terms - known:
            taken.append(word)
            known |= terms
    return taken[:MOST_TAKEN]
