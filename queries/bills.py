"""Pays for the attempts of one answer out of a purse, and notes them."""

from apikeys.purses import Purse
from apikeys.spending import Spent
from queries import prices
from queries.attempts import Attempt
from queries.prices import Messages
from ragsite.lib.vendor_tries import Ledger, Try


class Bill(Ledger):
    """Before each request the most that any of the models can cost is held; one that was free leaves it to the next."""

    def __init__(self, purse: Purse, messages: Messages, noted: list[Attempt]) -> None:
        self._purse = purse
        self._messages = messages
        self._noted = noted
        self._is_held = False
        self.attempts: list[Attempt] = []  # of this answer alone

    def begin(self, tried: Try) -> None:
        """Raises BudgetSpent."""
        if not self._is_held:
            self._purse.reserve(prices.most(self._messages))
            self._is_held = True

    def being_told(self) -> None:
        """A piece came: whoever leaves now pays the most, for the endpoint tells the tokens at the end alone."""
        self._purse.take(Spent(cost_usd=self._purse.reserved))

    def end(self, tried: Try) -> None:
        spent = prices.of_try(tried, self._messages)
        if tried.billed:
            self._purse.take(spent)
            self._is_held = False
        attempt = Attempt(
            tried.model, tried.endpoint, tried.started, tried.milliseconds, tried.outcome, spent=spent
        )
        self.attempts.append(attempt)
        self._noted.append(attempt)
