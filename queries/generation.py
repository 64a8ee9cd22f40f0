"""From what was retrieved to an answer with citations: by quoting it, or by a model."""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from django.conf import settings

from apikeys.purses import Purse
from apikeys.usage import Spent
from documents.search import Hit
from queries import attempts, extractive, prompts
from queries.attempts import Attempt
from ragsite.lib.errors import ModelFailed, ModelRefused, ModelTimeout, Unavailable

EXTRACTIVE = "extractive"
EXTRACTIVE_MODEL = "extractive-1"
# The best passage of a question that the documents do answer scores less than this for 2.4 % of XQuAD's questions
# and 0.4 % of Cranfield's; of questions asked of the other collection, 11 % (of XQuAD's) and 4 % score more.
NEAR_ENOUGH = 0.43
# When a quotation may stand in for a model's answer: not where a budget is spent.
_NO_ANSWER = (ModelFailed, ModelRefused, ModelTimeout, Unavailable)


@dataclass(frozen=True, slots=True)
class Generated:
    """`found` is False when the answer is that the documents do not say.

    `fallback`: it was quoted because no model answered. `attempts`: every request to a model, in order.
    """

    text: str
    found: bool
    generator: str
    model: str
    spent: Spent = field(default_factory=Spent)
    fallback: bool = False
    attempts: tuple[Attempt, ...] = ()


def generate(
    question: str,
    hits: Sequence[Hit],
    *,
    idf: Mapping[str, float],
    purse: Purse,
    tenant_prompt: str = "",
    noted: list[Attempt] | None = None,
    stands_in: bool = False,
) -> Generated:
    """Raises ModelFailed, ModelTimeout or Unavailable when a model is configured and does not answer, and BudgetSpent
    when the purse does not hold what its answer may cost.

    `noted` is where each attempt is noted, whatever comes of it. `stands_in`: where no model answers, quote.
    """
    if settings.ANSWER_PROVIDER == EXTRACTIVE or not hits:
        return _extract(question, hits, idf)
    from queries import completion  # noqa: PLC0415  what it imports is dear, and needed only here

    noted = [] if noted is None else noted
    before = len(noted)
    try:
        return completion.complete(question, hits, purse=purse, tenant_prompt=tenant_prompt, noted=noted)
    except _NO_ANSWER:
        if not stands_in:
            raise
        return _stand_in(_extract(question, hits, idf), noted[before:])


def stream(
    question: str,
    hits: Sequence[Hit],
    *,
    idf: Mapping[str, float],
    purse: Purse,
    tenant_prompt: str = "",
    noted: list[Attempt] | None = None,
    stands_in: bool = False,
) -> Generator[str | Generated, None, None]:
    """The answer's text in pieces, and last the whole that they make up. Raises as `generate` does, at any time.

    What a model has begun to say is not replaced by a quotation: it was shown.
    """
    if settings.ANSWER_PROVIDER == EXTRACTIVE or not hits:
        yield from _told(_extract(question, hits, idf))
        return
    from queries import completion  # noqa: PLC0415  what it imports is dear, and needed only here

    noted = [] if noted is None else noted
    before, shown = len(noted), False
    told = completion.stream(question, hits, purse=purse, tenant_prompt=tenant_prompt, noted=noted)
    try:
        with closing(told):
            for part in told:
                shown = True
                yield part
    except _NO_ANSWER:
        if shown or not stands_in:
            raise
        yield from _told(_stand_in(_extract(question, hits, idf), noted[before:]))


def _told(extracted: Generated) -> Iterator[str | Generated]:
    yield from pieces(extracted.text)
    yield extracted


def _stand_in(extracted: Generated, asked: Sequence[Attempt]) -> Generated:
    return replace(extracted, fallback=True, spent=attempts.spent(asked), attempts=tuple(asked))


def pieces(text: str) -> list[str]:
    """The words of a text that is known already, each with the space after it."""
    return re.findall(r"\s*\S+\s*", text)


def _extract(question: str, hits: Sequence[Hit], idf: Mapping[str, float]) -> Generated:
    passages = [
        extractive.Passage(number, hit.text, hit.score, hit.heading)
        for number, hit in enumerate(hits, start=1)
    ]
    text = extractive.answer(question, passages, idf=idf, threshold=NEAR_ENOUGH).text
    return Generated(text or prompts.NOT_FOUND, bool(text), EXTRACTIVE, EXTRACTIVE_MODEL)
