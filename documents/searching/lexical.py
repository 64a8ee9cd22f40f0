"""BM25 over chunks: words into terms, terms into numbers, counts into weights. Pure: no database, no model.

A chunk's score is the sum, over the question's distinct terms, of `idf` times the chunk's weight: an inner
product of two sparse vectors. Every weight is below 1, so the sum of a question's `idf` bounds its scores.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from threading import local
from typing import Final
from uuid import UUID

import Stemmer

# Lucene's defaults (BM25Similarity), within the range Robertson and Zaragoza found good over many collections
# ("The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3.2).
K1: Final = 1.2
B: Final = 0.75

MAX_DIMENSIONS: Final = 999_999_999  # below sparsevec's 1e9 and within int4
MAX_NONZERO: Final = 16_000  # what a sparsevec stores

# Marks that `\w` leaves out though words are written with them (Latin accents, Hebrew points, Arabic vowels,
# the vowel signs of the scripts of India and South-East Asia); the danda, a full stop, stays a separator.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
# Scripts written without spaces, and Hangul, whose particles stick to the word: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\U00020000-\U000323af"
)

_LETTER = rf"(?:(?![{_UNSPACED}])[^\W_]|[{_MARKS}])"
_WORD = re.compile(rf"[{_UNSPACED}]+|{_LETTER}+(?:[-_./,'’:]{_LETTER}+)*")
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:[-_./,':][a-z0-9]+)*")
_SWELLING, _SHORT = 2, 100  # how many characters normal form may make of each, and however many there are
_SEPARATOR = re.compile(r"[-_./,:]")
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")

_STOP_WORDS: Final = frozenset(
    """
    a about after again all also am an and any are as at be because been before being between both but by can
    could did do does doing during each for from further had has have having he her here hers him his how i if in
    into is it its itself just me might more most must my no nor not of off on once only or other our out over
    own same shall she should so some such than that the their theirs them then there these they this those through
    to too under until up very was we were what when where which while who whom whose why will with would you
    your
    """.split(),  # noqa: SIM905  # a paragraph of words reads better than a hundred quoted strings
)


class _PerThread(local):
    """One stemmer a thread: PyStemmer's objects must not be shared by threads."""

    def __init__(self) -> None:
        self.english = Stemmer.Stemmer("english")


_stemmers = _PerThread()


def terms(text: str) -> list[str]:
    """The index terms of `text` in order, repeats kept; questions and chunks are analysed alike.

    NFKC and case folding; words, without English stop words, by the Snowball English stemmer. A code such as
    "AB-123" gives itself without its separators and its parts, so that "AB123" and "123" find it; a number
    such as "3.5" or "1,190" stays whole, and "U.S." is "us". Scripts without spaces give overlapping pairs of
    characters.
    """
    words: list[str] = []
    for word in _words(text):
        if word.isalpha() and word.isascii():
            words.append(word)
        else:
            words.extend(_split(word))
    kept = [word for word in words if word not in _STOP_WORDS]
    return list(_stemmers.english.stemWords(kept))


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    # A page of one Arabic ligature would else be eighteen pages of words, and take as long.
    most = _SWELLING * len(text) + _SHORT
    return _WORD.findall(unicodedata.normalize("NFKC", text)[:most].casefold())


def _split(word: str) -> Iterator[str]:
    if _NUMBER.fullmatch(word):
        yield word.replace(",", "")
        return
    if _is_unspaced(word[0]):
        yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))
        return
    parts = [part.partition("'")[0] for part in _SEPARATOR.split(word.replace("’", "'"))]
    if all(len(part) == 1 for part in parts):
        yield "".join(parts)  # "U.S."
        return
    if len(parts) > 1 and any(character.isdigit() for character in word):
        yield "".join(parts)
    yield from parts


@lru_cache(maxsize=4096)
def _is_unspaced(character: str) -> bool:
    return re.match(f"[{_UNSPACED}]", character) is not None


@lru_cache(maxsize=1024)
def _hasher(tenant: UUID) -> blake2b:
    return blake2b(tenant.bytes, digest_size=8)


def term_id(tenant: UUID, term: str) -> int:
    """The dimension of `term` in `tenant`'s sparse vectors: stable, 1 to 999,999,999.

    The tenant is part of the hash, so that equal words of two tenants are different dimensions and one's
    statistics tell nothing of the other's text. Two terms of one tenant share a dimension with odds of 1e-9.
    """
    digest = _hasher(tenant).copy()
    digest.update(term.encode())
    return int.from_bytes(digest.digest()) % MAX_DIMENSIONS + 1


def document_weights(counts: Mapping[int, int], *, length: int, average_length: float) -> dict[int, float]:
    """BM25's term-frequency part, tf / (tf + k1 (1 - b + b length / average)), each in 0..1 (Lucene's form).

    `counts` is occurrences by term id, `length` their sum, `average_length` the mean length of the corpus.
    Beyond the 16,000 terms that a sparsevec holds, the weakest are dropped.
    """
    norm = K1 * (1 - B + B * length / max(average_length, 1.0))
    weights = {term: count / (count + norm) for term, count in counts.items()}
    if len(weights) <= MAX_NONZERO:
        return weights
    return dict(sorted(weights.items(), key=lambda item: -item[1])[:MAX_NONZERO])


def idf(documents: int, containing: int) -> float:
    """Inverse document frequency in Lucene's form, log(1 + (N - df + 0.5) / (df + 0.5)): never negative."""
    return math.log(1 + (max(documents - containing, 0) + 0.5) / (containing + 0.5))


def telling(chunks: int, containing: int) -> float:
    """How much it tells of a chunk that it has a word: 1 down to 0, for one that stands everywhere.

    Nothing where a tenth of the chunks have it, all where a twentieth do, or the square root of how many there are:
    in a small corpus few chunks are a large part.
    """
    few = max(math.sqrt(chunks), chunks / 20)
    return min(max(2 - containing / max(few, 1.0), 0.0), 1.0)
