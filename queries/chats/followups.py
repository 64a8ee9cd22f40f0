"""Follow-ups: what a question leaves to its conversation is put into it, so that it can be looked for by itself.

A chat model writes it anew where there is one. Without one, or where it fails, a rule does: a question that leans on
what was said before takes over the subject of the question before it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from apikeys.purses import Purse
from documents.searching import lexical
from queries.answers import Turn
from queries.checking import citations
from queries.generating import generation, prompts

Rarity = Callable[[str], Mapping[str, float]]
"""The inverse document frequency, in the corpus that is asked, of each index term of a text that it has."""

# How many words are taken over; of these, from a question without names, and names from an answer.
MOST_TAKEN: Final = 6
MOST_WORDS: Final = 3
MOST_OF_ANSWER: Final = 2
TAKEN_OVER: Final = 0.25
FEW_WORDS: Final = 1  # a question of so few words that mean something by themselves leans
LONGEST_WORD: Final = 40  # a longer one is no word: an address, or a clause of a script without spaces

_LEANING = re.compile(
    r"\b(?:it|its|itself|they|them|their|theirs|themselves|this|that|these|those|he|him|his|himself|she|her|hers|herself"
    r"|there|then|one|ones|former|latter|same|such|another|others?|else|instead)\b"
    r"|^\W*(?:and|but|or|so|also|what about|how about|what of|why not)\b",
    re.IGNORECASE,
)
_SOMEBODY = re.compile(r"\b(?:he|him|his|himself|she|her|hers|herself)\b", re.IGNORECASE)
_WORD = re.compile(r"\w(?:[\w'’.,:/_-]*\w)?")


@dataclass(frozen=True, slots=True)
class Standalone:
    """What is looked for, and how long it took to say so."""

    text: str
    timings_ms: Mapping[str, float] = field(default_factory=dict)


def standalone(question: str, turns: Sequence[Turn], *, rarity: Rarity, purse: Purse) -> Standalone:
    """The question as it is meant after these turns, oldest first; the question itself where it leaves nothing out."""
    if not turns:
        return Standalone(question)
    started = perf_counter()
    text = ""
    if generation.is_by_model():
        from queries.chats import rewriting  # noqa: PLC0415  what it imports is dear, and needed only here

        text = rewriting.rewritten(question, turns, purse=purse)
    text = text or by_rule(question, turns, rarity=rarity)
    return Standalone(text, {"rewrite": round((perf_counter() - started) * 1000, 1)})


def by_rule(question: str, turns: Sequence[Turn], *, rarity: Rarity) -> str:
    """The question with what it takes over, which the question before it may have taken over as well."""
    if not leans(question):
        return question
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


def weighed(idf: Mapping[str, float], question: str) -> dict[str, float]:
    """What words count when sentences are chosen: those that were taken over have told which passages are meant, and
    count less than the question's own, or the sentence that answered the question before would be chosen again."""
    own = set(lexical.terms(question))
    return {term: weight if term in own else TAKEN_OVER * weight for term, weight in idf.items()}


def leans(question: str) -> bool:
    """Whether a question points at what was said before, or says too little to stand by itself."""
    return _LEANING.search(question) is not None or len(set(lexical.terms(question))) <= FEW_WORDS


def _carried(question: str, subject: Sequence[str], people: Sequence[str]) -> list[str]:
    """What a question takes from before it. Names of the answer only where it speaks of somebody: otherwise they bring
    back the passage that answered the question before."""
    if not leans(question):
        return []
    return [*subject, *(people if _SOMEBODY.search(question) else [])]


def _subject(question: str, weights: Mapping[str, float]) -> list[str]:
    """The names in a question; where there are none, its rarest words."""
    names = list(_names(question, weights))
    if names:
        return names
    known = {word: _weight(word, weights) for word in _words(question)}
    rarest = sorted((word for word in known if known[word]), key=lambda word: -known[word])[:MOST_WORDS]
    return [word for word in known if word in rarest]


def _names(text: str, weights: Mapping[str, float]) -> Iterator[str]:
    """Words that are written as names, numbers and codes are, and that the corpus knows."""
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
    """The first words of a subject, each once, that the question does not have itself."""
    known = set(lexical.terms(question))
    taken = []
    for word in subject:
        terms = set(lexical.terms(word))
        if terms - known:
            taken.append(word)
            known |= terms
    return taken[:MOST_TAKEN]
