"""Pays for the tries of one call to the chat models out of a purse, and notes each of them.

One that was answered costs by the tokens its endpoint reports. One that failed after it was sent (timed out, broken off,
nonsense) may be on the vendor's bill, and costs what is reported or else the most that it can: a budget must hold
whatever the bill says. One that was refused, or never arrived, costs nothing.
"""

from decimal import Decimal

from django.conf import settings

from apikeys import prices
from apikeys.prices import Amount
from apikeys.purses import Purse
from apikeys.spending import Spent
from apikeys.tabs import Attempt
from queries.generating import trials
from ragsite.lib import tokens
from ragsite.lib.inference.llm import Messages
from ragsite.lib.inference.vendor_tries import Ledger, Try


class Bill(Ledger):
    """Before each request the most that any of the models can cost is held; one that was free leaves it to the next."""

    def __init__(self, purse: Purse, messages: Messages) -> None:
        self._purse = purse
        self._messages = messages
        self._is_held = False

    def begin(self, tried: Try) -> None:
        """Raises BudgetSpent."""
        if not self._is_held:
            self._purse.reserve(most(self._messages))
            self._is_held = True

    def being_told(self) -> None:
        """A piece came: whoever leaves now pays the most, for the endpoint tells the tokens at the end alone."""
        self._purse.take(Spent(cost_usd=self._purse.reserved))

    def end(self, tried: Try) -> None:
        spent = Spent()
        if tried.billed:
            spent = cost(tried, self._messages)
            self._purse.take(spent)
            self._is_held = False
        self._purse.note(
            Attempt(tried.model, tried.endpoint, tried.started, tried.milliseconds, tried.outcome, spent)
        )


def most(messages: Messages) -> Decimal:
    """What the dearest of the models that may be tried can ask for an answer."""
    return prices.most(_asked(), _at_most(messages))


def cost(tried: Try, messages: Messages) -> Spent:
    """Of a request that may be on the bill. One for which no tokens are reported costs the most that it can."""
    told = Amount(tried.prompt_tokens, tried.completion_tokens)
    amount = told if any(told) else _at_most(messages)
    cost_usd = prices.cost(tried.answered_by or tried.model, amount, asked=_asked())
    return Spent(
        prompt_tokens=told.prompt_tokens, completion_tokens=told.completion_tokens, cost_usd=cost_usd
    )


def _at_most(messages: Messages) -> Amount:
    """The answer has a template around it as well."""
    prompt = sum(tokens.most(message["content"]) + tokens.AROUND_MESSAGE for message in messages)
    return Amount(prompt + tokens.AROUND_MESSAGE, settings.ANSWER_MAX_TOKENS)


def _asked() -> list[str]:
    return [asked.model for asked in trials.models()]
