"""Answers by a chat model. Only a site that has one imports this: the vendor's client takes most of a second to load."""

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from decimal import Decimal

from django.conf import settings

from apikeys.usage import Spent
from documents.search import Hit
from queries import citations, prompts
from queries.generation import Generated
from ragsite.lib import llm
from ragsite.lib.llm import ChatEndpoint, Completion

_DATE = re.compile(r"[-@]\d[\d-]*$")


def complete(question: str, hits: Sequence[Hit], *, tenant_prompt: str) -> Generated:
    """Raises ModelFailed, ModelTimeout or Unavailable."""
    completion = llm.complete(_endpoint(), prompts.messages(question, hits, tenant_prompt=tenant_prompt))
    return _generated(citations.keep_given(completion.text, _given(hits)), completion)


def stream(
    question: str, hits: Sequence[Hit], *, tenant_prompt: str
) -> Generator[str | Generated, None, None]:
    """The answer's text as it comes, its citations checked, and last the whole. Raises as `complete` does, at any time.

    Closing it closes the call to the model.
    """
    told = llm.stream(_endpoint(), prompts.messages(question, hits, tenant_prompt=tenant_prompt))
    completions: list[Completion] = []

    def pieces() -> Iterator[str]:
        for part in told:
            if isinstance(part, str):
                yield part
            else:
                completions.append(part)

    shown = []
    with closing(told):
        for text in citations.checked(pieces(), _given(hits)):
            shown.append(text)
            yield text
    if not shown:
        yield prompts.NOT_FOUND
    yield _generated("".join(shown), completions[0])


def _endpoint() -> ChatEndpoint:
    return ChatEndpoint(
        base_url=settings.ANSWER_BASE_URL,
        api_key=settings.ANSWER_API_KEY,
        models=(settings.ANSWER_MODEL, *settings.ANSWER_FALLBACK_MODELS),
        timeout_seconds=settings.ANSWER_TIMEOUT_SECONDS,
        max_tokens=settings.ANSWER_MAX_TOKENS,
        temperature=0.0,
    )


def _given(hits: Sequence[Hit]) -> set[int]:
    return set(range(1, len(hits) + 1))


def _generated(text: str, completion: Completion) -> Generated:
    """A model's text is hostile input: its citations were checked, and where it is shown it is escaped."""
    text = text or prompts.NOT_FOUND
    return Generated(
        text,
        found=prompts.NOT_FOUND not in text,
        generator="openai",
        model=completion.model,
        spent=_spent(completion),
    )


def _spent(completion: Completion) -> Spent:
    """The cost by MODEL_PRICES, which are per million tokens; a model without a price costs nothing."""
    prompt, answer = _prices(completion.model)
    dollars = (completion.prompt_tokens * prompt + completion.completion_tokens * answer) / 1_000_000
    return Spent(
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        cost_usd=Decimal(str(round(dollars, 6))),
    )


def _prices(model: str) -> tuple[float, float]:
    """Endpoints asked for gpt-4o-mini say that gpt-4o-mini-2024-07-18 answered: the price is that of the plain name."""
    prices: dict[str, tuple[float, float]] = settings.MODEL_PRICES
    return prices.get(model) or prices.get(_DATE.sub("", model)) or (0.0, 0.0)
