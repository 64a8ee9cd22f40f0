"""From what was retrieved to an answer with citations: by quoting it, or by a model."""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from django.conf import settings

from apikeys.purses import Purse
from queries.checking import defusing
from queries.checking.support import Unsupported
from queries.generating import extractive, prompts
from queries.sources import Source
from ragsite.lib.concurrency import turns
from ragsite.lib.errors import ModelFailed, ModelRefused, ModelTimeout, Unavailable

EXTRACTIVE = "extractive"
EXTRACTIVE_MODEL = "extractive-1"
# The best passage scores less than this for 1.9 % of XQuAD's own questions, 0.4 % of Cranfield's and none of the
# reports'; of other collections' questions 3.8 %, 7.5 % and 3.6 % score more (docs/benchmarks.md, "What was tried").
NEAR_ENOUGH = 0.43
# When a quotation may stand in for a model's answer: not where a budget is spent.
_NO_ANSWER = (ModelFailed, ModelRefused, ModelTimeout, Unavailable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What an answer is made from, and how.

    `question` as it is meant after the `turns` before it, and `asked` as it was asked, which a model is told together
    with them; `prompt` is what it is told besides the site's own instructions. What it takes is paid from the `purse`
    and noted there. `stands_in`: where no model answers, quote.
    """

    question: str
    asked: str
    sources: Sequence[Source]
    idf: Mapping[str, float]
    purse: Purse
    turns: Sequence[tuple[str, str]] = ()
    prompt: str = ""
    stands_in: bool = False


@dataclass(frozen=True, slots=True)
class Generated:
    """`found` is False when the answer is that the documents do not say.

    `fallback`: it was quoted because no model answered. `unsupported` are the sentences of the text that no source
    supports, as far as words can tell.
    """

    text: str
    found: bool
    generator: str
    model: str
    fallback: bool = False
    unsupported: tuple[Unsupported, ...] = ()


def told(brief: Brief) -> Brief:
    """With those of its sources that the answer is made from and may cite: as much as a model's window has room for."""
    if not is_by_model():
        return brief
    fitting = prompts.fitting(brief.asked, brief.sources, turns=brief.turns, tenant_prompt=brief.prompt)
    return replace(brief, sources=fitting)


def is_by_model() -> bool:
    """Whether answers are a model's, for which their askers wait."""
    return bool(settings.ANSWER_PROVIDER != EXTRACTIVE)


def generate(brief: Brief) -> Generated:
    """Raises ModelFailed, ModelTimeout or Unavailable when a model is configured and does not answer, and BudgetSpent
    when the purse does not hold what its answer may cost."""
    if not is_by_model() or not brief.sources:
        return _extract(brief)
    from queries.generating import completion  # noqa: PLC0415  what it imports is dear, and needed only here

    try:
        return completion.complete(brief)
    except _NO_ANSWER:
        if not brief.stands_in:
            raise
        return _stand_in(brief)


def stream(brief: Brief) -> Generator[str | Generated, None, None]:
    """The answer's text in pieces, and last the whole that they make up. Raises as `generate` does, at any time.

    What a model has begun to say is not replaced by a quotation: it was shown.
    """
    if not is_by_model() or not brief.sources:
        yield from _in_pieces(_extract(brief))
        return
    from queries.generating import completion  # noqa: PLC0415  what it imports is dear, and needed only here

    shown = False
    try:
        with closing(completion.stream(brief)) as parts:
            for part in parts:
                shown = True
                yield part
    except _NO_ANSWER:
        if shown or not brief.stands_in:
            raise
        yield from _in_pieces(_stand_in(brief))


def pieces(text: str) -> list[str]:
    """The words of a text that is known already, each with the space after it."""
    return re.findall(r"\s*\S+\s*", text)


def _in_pieces(extracted: Generated) -> Iterator[str | Generated]:
    yield from pieces(extracted.text)
    yield extracted


def _stand_in(brief: Brief) -> Generated:
    return replace(_extract(brief), fallback=True)


def _extract(brief: Brief) -> Generated:
    """What is quoted is a document's text: hostile input, as a model's is. Its words stand in the source they cite."""
    passages = [
        extractive.Passage(source.n, hit.text, hit.score, hit.heading, hit.start - source.start)
        for source in brief.sources
        for hit in source.hits
    ]
    with turns.turn():
        quoted = extractive.answer(brief.question, passages, idf=brief.idf, threshold=NEAR_ENOUGH).text
    text = defusing.harmless(quoted, brief.sources)
    return Generated(text or prompts.NOT_FOUND, bool(text), EXTRACTIVE, EXTRACTIVE_MODEL)
