"""Answers by a chat model. Only a site that has one imports this: the vendor's client takes most of a second to load."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager

from django.conf import settings

from apikeys.purses import Purse
from apikeys.usage import Spent
from documents.search import Hit
from queries import citations, prices, prompts
from queries.generation import Generated
from ragsite.lib import llm
from ragsite.lib.errors import ClientLeft
from ragsite.lib.llm import ChatEndpoint, Completion


def complete(question: str, hits: Sequence[Hit], *, purse: Purse, tenant_prompt: str) -> Generated:
    """Raises ModelFailed, ModelTimeout, Unavailable or BudgetSpent."""
    messages = prompts.messages(question, hits, tenant_prompt=tenant_prompt)
    purse.reserve(prices.most(messages))
    with _paid_when_left(purse):
        completion = llm.complete(_endpoint(), messages)
    spent = prices.spent(completion, messages)
    purse.take(spent)
    return _generated(citations.keep_given(completion.text, _given(hits)), completion, spent)


def stream(
    question: str, hits: Sequence[Hit], *, purse: Purse, tenant_prompt: str
) -> Generator[str | Generated, None, None]:
    """The answer's text as it comes, its citations checked, and last the whole. Raises as `complete` does, at any time.

    Closing it closes the call to the model. What was answered in part costs what was reserved: the endpoint tells the
    tokens at the end alone, and whoever leaves just before it would pay for nothing.
    """
    messages = prompts.messages(question, hits, tenant_prompt=tenant_prompt)
    purse.reserve(prices.most(messages))
    told = llm.stream(_endpoint(), messages)
    completions: list[tuple[Completion, Spent]] = []

    def pieces() -> Iterator[str]:
        for part in told:
            if isinstance(part, str):
                purse.take(Spent(cost_usd=purse.reserved))
                yield part
            else:
                completions.append((part, prices.spent(part, messages)))
                purse.take(completions[0][1])

    shown = []
    with closing(told), _paid_when_left(purse):
        for text in citations.checked(pieces(), _given(hits)):
            shown.append(text)
            yield text
    if not shown:
        yield prompts.NOT_FOUND
    yield _generated("".join(shown), *completions[0])


@contextmanager
def _paid_when_left(purse: Purse) -> Iterator[None]:
    """Who leaves while the model thinks has had it think, and does not get to know what that came to."""
    try:
        yield
    except ClientLeft:
        purse.take(Spent(cost_usd=purse.reserved))
        raise


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


def _generated(text: str, completion: Completion, spent: Spent) -> Generated:
    """A model's text is hostile input: its citations were checked, and where it is shown it is escaped."""
    text = text or prompts.NOT_FOUND
    return Generated(
        text,
        found=prompts.NOT_FOUND not in text,
        generator="openai",
        model=completion.model,
        spent=spent,
    )
