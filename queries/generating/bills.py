"""Reserves and charges what one call to the chat models costs, try by try.

A try that was answered costs what its endpoint reports. One that failed after it was sent may be on the vendor's bill:
it costs what is reported, or else the most it can, so that budgets hold in any case. One that was refused or never
arrived costs nothing.
"""

from decimal import Decimal

from django.conf import settings

from apikeys import prices
from apikeys.prices import Amount
from apikeys.purses import Purse
from apikeys.spending import Spent
from apikeys.tabs import Attempt
from queries.generating import chat_models
from ragsite.lib import tokens
from ragsite.lib.inference.llm import Messages
from ragsite.lib.inference.vendor_tries import Ledger, Try


class Bill(Ledger):
    """Reserves the most that any of the models can cost; a try that was free leaves the reservation to the next."""

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
        """Charges the most, once text arrives: if the client leaves now, the endpoint never reports its tokens."""
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
    """The most that an answer can cost, by the dearest of the models that may be tried."""
    return prices.most(_asked(), _at_most(messages))


def cost(tried: Try, messages: Messages) -> Spent:
    """What a try costs that may be on the bill: the most it can, where no tokens are reported."""
    told = Amount(tried.prompt_tokens, tried.completion_tokens)
    amount = told if any(told) else _at_most(messages)
    cost_usd = prices.cost(tried.answered_by or tried.model, amount, asked=_asked())
    return Spent(
        prompt_tokens=told.prompt_tokens, completion_tokens=told.completion_tokens, cost_usd=cost_usd
    )


def _at_most(messages: Messages) -> Amount:
    """The most tokens that prompt and answer can have; around the answer there is a template as well."""
    prompt = sum(tokens.most(message["content"]) + tokens.AROUND_MESSAGE for message in messages)
    return Amount(prompt + tokens.AROUND_MESSAGE, settings.ANSWER_MAX_TOKENS)


def _asked() -> list[str]:
    return [asked.model for asked in chat_models.asked()]
