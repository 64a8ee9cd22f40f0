"""From what was retrieved to an answer with citations: by quoting it, or by a model."""

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings

from apikeys.purses import Purse
from apikeys.usage import Spent
from documents.search import Hit
from queries import extractive, prompts
from ragsite.lib import turns

EXTRACTIVE = "extractive"
EXTRACTIVE_MODEL = "extractive-1"
# The best passage of a question that the documents do answer scores less than this for 2.4 % of XQuAD's questions
# and 0.4 % of Cranfield's; of questions asked of the other collection, 11 % (of XQuAD's) and 4 % score more.
NEAR_ENOUGH = 0.43


@dataclass(frozen=True, slots=True)
class Generated:
    """`found` is False when the answer is that the documents do not say."""

    text: str
    found: bool
    generator: str
    model: str
    spent: Spent = field(default_factory=Spent)


def is_by_model() -> bool:
    """Whether answers are a model's, for which their askers wait."""
    return bool(settings.ANSWER_PROVIDER != EXTRACTIVE)


def generate(
    question: str, hits: Sequence[Hit], *, idf: Mapping[str, float], purse: Purse, tenant_prompt: str = ""
) -> Generated:
    """Raises ModelFailed, ModelTimeout or Unavailable when a model is configured and does not answer, and BudgetSpent
    when the purse does not hold what its answer may cost."""
    if not is_by_model() or not hits:
        return _extract(question, hits, idf)
    from queries import completion  # noqa: PLC0415  what it imports is dear, and needed only here

    return completion.complete(question, hits, purse=purse, tenant_prompt=tenant_prompt)


def stream(
    question: str, hits: Sequence[Hit], *, idf: Mapping[str, float], purse: Purse, tenant_prompt: str = ""
) -> Generator[str | Generated, None, None]:
    """The answer's text in pieces, and last the whole that they make up. Raises as `generate` does, at any time."""
    if not is_by_model() or not hits:
        extracted = _extract(question, hits, idf)
        yield from pieces(extracted.text)
        yield extracted
        return
    from queries import completion  # noqa: PLC0415  what it imports is dear, and needed only here

    yield from completion.stream(question, hits, purse=purse, tenant_prompt=tenant_prompt)


def pieces(text: str) -> list[str]:
    """The words of a text that is known already, each with the space after it."""
    return re.findall(r"\s*\S+\s*", text)


def _extract(question: str, hits: Sequence[Hit], idf: Mapping[str, float]) -> Generated:
    passages = [
        extractive.Passage(number, hit.text, hit.score, hit.heading)
        for number, hit in enumerate(hits, start=1)
    ]
    with turns.turn():
        text = extractive.answer(question, passages, idf=idf, threshold=NEAR_ENOUGH).text
    return Generated(text or prompts.NOT_FOUND, bool(text), EXTRACTIVE, EXTRACTIVE_MODEL)
