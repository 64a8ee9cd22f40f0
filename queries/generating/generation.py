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
from ragsite.lib.concurrency import computing
from ragsite.lib.errors import ModelFailed, ModelRefused, ModelTimeout, Unavailable

EXTRACTIVE = "extractive"
EXTRACTIVE_MODEL = "extractive-1"
# Below this score of the best passage, quoting answers "not found". That is so for 1.9 % of XQuAD's own questions, 0.4
# % of Cranfield's and none of the reports'; 3.8 %, 7.5 % and 3.6 % of other collections' questions score more
# (docs/benchmarks.md, "What was tried").
NEAR_ENOUGH = 0.43
# The failures of a model for which a quotation may stand in. A spent budget is none of them.
_MODEL_FAILED = (ModelFailed, ModelRefused, ModelTimeout, Unavailable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What an answer is made from, and how.

    `question`: as it is meant after the `turns` before it; `asked`: in its own words, which a model gets with the
    turns. `prompt`: instructions besides the site's own. `purse`: pays for the answer. `stands_in`: quote where no
    model answers.
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
    """An answer's text, and how it came about.

    `found`: False when the answer is that the documents do not say. `fallback`: it was quoted because no model
    answered. `unsupported`: the sentences that no source supports, as far as words can tell.
    """

    text: str
    found: bool
    generator: str
    model: str
    fallback: bool = False
    unsupported: tuple[Unsupported, ...] = ()


def fitted(brief: Brief) -> Brief:
    """The brief with only the sources that fit into the model's window: those that the answer may cite."""
    if not is_by_model():
        return brief
    fitting = prompts.fitting(brief.asked, brief.sources, turns=brief.turns, tenant_prompt=brief.prompt)
    return replace(brief, sources=fitting)


def is_by_model() -> bool:
    """Whether a model writes the answers of this site, or they are quoted."""
    return bool(settings.ANSWER_PROVIDER != EXTRACTIVE)


def generate(brief: Brief) -> Generated:
    """Raises ModelFailed, ModelTimeout or Unavailable where no model answers, and BudgetSpent."""
    if not is_by_model() or not brief.sources:
        return _extract(brief)
    from queries.generating import completion  # noqa: PLC0415  slow to load, and needed only here

    try:
        return completion.complete(brief)
    except _MODEL_FAILED:
        if not brief.stands_in:
            raise
        return _stand_in(brief)


def stream(brief: Brief) -> Generator[str | Generated, None, None]:
    """The answer's text in pieces, and last the whole answer. Raises what `generate` raises, at any step.

    Once a model's text was shown, no quotation replaces it.
    """
    if not is_by_model() or not brief.sources:
        yield from _in_pieces(_extract(brief))
        return
    from queries.generating import completion  # noqa: PLC0415  slow to load, and needed only here

    shown = False
    try:
        with closing(completion.stream(brief)) as parts:
            for part in parts:
                shown = True
                yield part
    except _MODEL_FAILED:
        if shown or not brief.stands_in:
            raise
        yield from _in_pieces(_stand_in(brief))


def pieces(text: str) -> list[str]:
    """The words of a text, each with the space after it."""
    return re.findall(r"\s*\S+\s*", text)


def _in_pieces(extracted: Generated) -> Iterator[str | Generated]:
    yield from pieces(extracted.text)
    yield extracted


def _stand_in(brief: Brief) -> Generated:
    return replace(_extract(brief), fallback=True)


def _extract(brief: Brief) -> Generated:
    """An answer by quoting. A document's text is hostile input, as a model's is, and made harmless the same way."""
    passages = [
        extractive.Passage(source.n, hit.text, hit.score, hit.heading, hit.start - source.start)
        for source in brief.sources
        for hit in source.hits
    ]
    with computing.slot():
        quoted = extractive.answer(brief.question, passages, idf=brief.idf, threshold=NEAR_ENOUGH).text
    text = defusing.harmless(quoted, brief.sources)
    return Generated(text or prompts.NOT_FOUND, bool(text), EXTRACTIVE, EXTRACTIVE_MODEL)
