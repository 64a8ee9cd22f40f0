"""Answers by a chat model. Imported only where there is one, because the vendor's client is slow to load."""

from collections.abc import Generator, Iterator
from contextlib import closing

from django.conf import settings

from queries.checking import defusing, support
from queries.generating import chat_models, prompts
from queries.generating.bills import Bill
from queries.generating.chat_models import ChatModel
from queries.generating.generation import Brief, Generated
from ragsite.lib.inference import llm
from ragsite.lib.inference.circuit_rules import Rules
from ragsite.lib.inference.llm import ChatEndpoint, Completion, Messages


def complete(brief: Brief) -> Generated:
    """Raises ModelFailed, ModelTimeout, Unavailable or BudgetSpent."""
    messages = _messages(brief)
    completion = llm.complete(endpoints(), messages, ledger=Bill(brief.purse, messages))
    return _generated(defusing.harmless(completion.text, brief.sources), brief, completion)


def stream(brief: Brief) -> Generator[str | Generated, None, None]:
    """The answer's text in pieces as they come, made harmless, and last the whole answer.

    Raises what `complete` raises, at any step. Closing it closes the call to the model.
    """
    messages = _messages(brief)
    bill = Bill(brief.purse, messages)
    told = llm.stream(endpoints(), messages, ledger=bill)
    completions: list[Completion] = []

    def pieces() -> Iterator[str]:
        for part in told:
            if isinstance(part, str):
                bill.being_told()
                yield part
            else:
                completions.append(part)

    shown = []
    with closing(told):
        for text in defusing.streamed(pieces(), brief.sources):
            shown.append(text)
            yield text
    if not shown:
        yield prompts.NOT_FOUND
    yield _generated("".join(shown), brief, completions[0])


def _messages(brief: Brief) -> Messages:
    return prompts.messages(brief.asked, brief.sources, turns=brief.turns, tenant_prompt=brief.prompt)


def endpoints() -> list[ChatEndpoint]:
    """The chat models to ask, each when the one before it has failed."""
    return [endpoint_of(listed) for listed in chat_models.asked()]


def endpoint_of(listed: ChatModel) -> ChatEndpoint:
    places = settings.ANSWER_CALLS_IN_FLIGHT
    return ChatEndpoint(
        base_url=listed.base_url,
        api_key=listed.api_key,
        model=listed.model,
        timeout_seconds=settings.ANSWER_TIMEOUT_SECONDS,
        connect_timeout=settings.ANSWER_CONNECT_SECONDS,
        first_token_seconds=settings.ANSWER_FIRST_TOKEN_SECONDS,
        rules=Rules(
            failures=settings.ANSWER_BREAKER_FAILURES,
            reset_seconds=settings.ANSWER_BREAKER_SECONDS,
            places=places,
            places_alone=max(1, places // settings.WEB_WORKERS),
        ),
        queue_seconds=settings.ANSWER_QUEUE_SECONDS,
        max_tokens=settings.ANSWER_MAX_TOKENS,
        temperature=0.0,
    )


def _generated(text: str, brief: Brief, completion: Completion) -> Generated:
    """`text` is harmless by now; pages escape it all the same."""
    text = text or prompts.NOT_FOUND
    found = prompts.NOT_FOUND not in text
    return Generated(
        text,
        found=found,
        generator="openai",
        model=completion.model,
        unsupported=support.unsupported(text, brief.sources) if found else (),
    )
