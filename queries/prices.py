"""What calls of the chat model cost: what they did by the tokens reported, and what they may at most."""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from django.conf import settings

from apikeys.spending import Spent
from queries import trials
from ragsite.lib.llm import Completion
from ragsite.lib.money import dollars
from ragsite.lib.vendor_tries import Try

Messages = Sequence[Mapping[str, str]]
# US dollars per million tokens, which is millionths of a dollar a token: prompt, answer.
Price = tuple[float, float]

_DATE = re.compile(r"[-@]\d[\d-]*$")
# Around each message a template puts its role and a few marks: 3 or 4 tokens at OpenAI, up to 10 elsewhere.
MESSAGE_TOKENS = 16


def most(messages: Messages) -> Decimal:
    """What the dearest of the models that may be tried can ask for an answer."""
    return max(_highest(messages, _listed(model) or (0.0, 0.0)) for model in _asked())


def spent(completion: Completion, messages: Messages) -> Spent:
    """The cost of the tokens reported; an answer for which none are reported costs the most that it can."""
    price = _price(completion.model)
    if not completion.prompt_tokens and not completion.completion_tokens:
        return Spent(cost_usd=_highest(messages, price))
    micros = completion.prompt_tokens * price[0] + completion.completion_tokens * price[1]
    return Spent(
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        cost_usd=dollars(round(micros)),
    )


def of_try(tried: Try, messages: Messages) -> Spent:
    """What one request cost, answered or not. What may be on the bill without a word of tokens costs the most it can."""
    if not tried.billed:
        return Spent()
    model = tried.answered_by or tried.model
    return spent(Completion("", model, tried.prompt_tokens, tried.completion_tokens), messages)


def _highest(messages: Messages, price: Price) -> Decimal:
    """A token stands for a byte at least, in every tokenizer that splits bytes: so many tokens there are at most."""
    tokens = sum(
        len(message["content"].encode()) + MESSAGE_TOKENS for message in [*messages, {"content": ""}]
    )
    return dollars(math.ceil(tokens * price[0] + settings.ANSWER_MAX_TOKENS * price[1]))


def _price(model: str) -> Price:
    """What the model that says it has answered costs, or the dearest of those that were asked where it is not listed."""
    return _listed(model) or max((_listed(asked) or (0.0, 0.0) for asked in _asked()), key=sum)


def _listed(model: str) -> Price | None:
    """Endpoints asked for gpt-4o-mini say that gpt-4o-mini-2024-07-18 answered: the price is that of the plain name."""
    table: Mapping[str, Price] = settings.MODEL_PRICES
    return table.get(model) or table.get(_DATE.sub("", model))


def _asked() -> tuple[str, ...]:
    return tuple(asked.model for asked in trials.models())
