"""From what was retrieved to an answer with citations: by quoting it, or by a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.conf import settings

from apikeys.usage import Spent
from documents.search import Hit
from queries import citations, extractive, prompts
from ragsite.lib import llm
from ragsite.lib.llm import ChatEndpoint, Completion

EXTRACTIVE = "extractive"
EXTRACTIVE_MODEL = "extractive-1"
# The best passage of a question that the documents do answer scores less than this for about 2 in 100 of XQuAD's
# questions and 1 in 100 of Cranfield's; of questions asked of the other collection, 1 in 9 scores more.
NEAR_ENOUGH = 0.33


@dataclass(frozen=True, slots=True)
class Generated:
    """`found` is False when the answer is that the documents do not say."""

    text: str
    found: bool
    generator: str
    model: str
    spent: Spent = field(default_factory=Spent)


def generate(
    question: str, hits: Sequence[Hit], *, idf: Mapping[str, float], tenant_prompt: str = ""
) -> Generated:
    """Raises ModelFailed, ModelTimeout or Unavailable when a model is configured and does not answer."""
    if settings.ANSWER_PROVIDER == EXTRACTIVE or not hits:
        return _extract(question, hits, idf)
    messages = prompts.messages(question, hits, tenant_prompt=tenant_prompt)
    completion = llm.complete(endpoint(), messages)
    return _checked(completion, given=set(range(1, len(hits) + 1)))


def endpoint() -> ChatEndpoint:
    return ChatEndpoint(
        base_url=settings.ANSWER_BASE_URL,
        api_key=settings.ANSWER_API_KEY,
        models=(settings.ANSWER_MODEL, *settings.ANSWER_FALLBACK_MODELS),
        timeout_seconds=settings.ANSWER_TIMEOUT_SECONDS,
        max_tokens=settings.ANSWER_MAX_TOKENS,
        temperature=0.0,
    )


def _spent(completion: Completion) -> Spent:
    """The cost by MODEL_PRICES, which are per million tokens; a model without a price costs nothing."""
    prompt, answer = settings.MODEL_PRICES.get(completion.model, (0.0, 0.0))
    dollars = (completion.prompt_tokens * prompt + completion.completion_tokens * answer) / 1_000_000
    return Spent(
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        cost_usd=Decimal(str(round(dollars, 6))),
    )


def _extract(question: str, hits: Sequence[Hit], idf: Mapping[str, float]) -> Generated:
    passages = [extractive.Passage(number, hit.text, hit.score) for number, hit in enumerate(hits, start=1)]
    text = extractive.answer(question, passages, idf=idf, threshold=NEAR_ENOUGH).text
    return Generated(text or prompts.NOT_FOUND, bool(text), EXTRACTIVE, EXTRACTIVE_MODEL)


def _checked(completion: Completion, *, given: set[int]) -> Generated:
    """A model's text is hostile input: it becomes safe here (citations) and where it is shown (escaped)."""
    text = citations.keep_given(completion.text, given) or prompts.NOT_FOUND
    return Generated(
        text,
        found=prompts.NOT_FOUND not in text,
        generator="openai",
        model=completion.model,
        spent=_spent(completion),
    )
