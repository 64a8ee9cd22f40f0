"""From what was retrieved to an answer with citations: by quoting it, or by a model."""

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings

from apikeys.purses import Purse
from apikeys.usage import Spent
from queries import defusing, extractive, prompts
from queries.sources import Source
from queries.support import Unsupported

EXTRACTIVE = "extractive"
EXTRACTIVE_MODEL = "extractive-1"
# The best passage of a question that the documents do answer scores less than this for 2.4 % of XQuAD's questions
# and 0.4 % of Cranfield's; of questions asked of the other collection, 11 % (of XQuAD's) and 4 % score more.
NEAR_ENOUGH = 0.43


@dataclass(frozen=True, slots=True)
class Generated:
    """`found` is False when the answer is that the documents do not say.

    `unsupported` are the sentences of the text that no source supports, as far as words can tell.
    """

    text: str
    found: bool
    generator: str
    model: str
    spent: Spent = field(default_factory=Spent)
    unsupported: tuple[Unsupported, ...] = ()


def told(
    question: str,
    sources: Sequence[Source],
    *,
    turns: Sequence[tuple[str, str]] = (),
    tenant_prompt: str = "",
) -> list[Source]:
    """What of the sources the answer is made from and may cite: as much as a model's window has room for."""
    if settings.ANSWER_PROVIDER == EXTRACTIVE:
        return list(sources)
    return prompts.fitting(question, sources, turns=turns, tenant_prompt=tenant_prompt)


def generate(
    question: str,
    sources: Sequence[Source],
    *,
    idf: Mapping[str, float],
    purse: Purse,
    turns: Sequence[tuple[str, str]] = (),
    tenant_prompt: str = "",
) -> Generated:
    """Raises ModelFailed, ModelTimeout or Unavailable when a model is configured and does not answer, and BudgetSpent
    when the purse does not hold what its answer may cost."""
    if settings.ANSWER_PROVIDER == EXTRACTIVE or not sources:
        return _extract(question, sources, idf)
    from queries import completion  # noqa: PLC0415  what it imports is dear, and needed only here

    return completion.complete(question, sources, purse=purse, turns=turns, tenant_prompt=tenant_prompt)


def stream(
    question: str,
    sources: Sequence[Source],
    *,
    idf: Mapping[str, float],
    purse: Purse,
    turns: Sequence[tuple[str, str]] = (),
    tenant_prompt: str = "",
) -> Generator[str | Generated, None, None]:
    """The answer's text in pieces, and last the whole that they make up. Raises as `generate` does, at any time."""
    if settings.ANSWER_PROVIDER == EXTRACTIVE or not sources:
        extracted = _extract(question, sources, idf)
        yield from pieces(extracted.text)
        yield extracted
        return
    from queries import completion  # noqa: PLC0415  what it imports is dear, and needed only here

    yield from completion.stream(question, sources, purse=purse, turns=turns, tenant_prompt=tenant_prompt)


def pieces(text: str) -> list[str]:
    """The words of a text that is known already, each with the space after it."""
    return re.findall(r"\s*\S+\s*", text)


def _extract(question: str, sources: Sequence[Source], idf: Mapping[str, float]) -> Generated:
    """What is quoted is a document's text: hostile input, as a model's is. Its words stand in the source they cite."""
    passages = [
        extractive.Passage(source.n, hit.text, hit.score, hit.heading, hit.start - source.start)
        for source in sources
        for hit in source.hits
    ]
    quoted = extractive.answer(question, passages, idf=idf, threshold=NEAR_ENOUGH).text
    text = defusing.harmless(quoted, sources)
    return Generated(text or prompts.NOT_FOUND, bool(text), EXTRACTIVE, EXTRACTIVE_MODEL)
