"""What an answer's calls to models are paid from, and noted in.

Before a call the most that it can cost is reserved; after it the purse is told what it took. The request's record of
use (`apikeys.usage.record`) settles that, whatever became of the request.
"""

from decimal import Decimal
from uuid import UUID

from apikeys import budgets, tabs
from apikeys.callers import Caller
from apikeys.spending import Spent
from apikeys.tabs import Attempt


class Purse:
    """A purse without an owner: it pays for everything, and keeps no record."""

    reserved = Decimal(0)

    def reserve(self, most: Decimal) -> None:
        """Takes out `most` US dollars, or raises BudgetSpent."""
        self.reserved = most

    def take(self, spent: Spent) -> None:
        """What the call has taken by now; said again, it replaces what was said before."""

    def note(self, attempt: Attempt) -> None:
        """A request to a chat model, whatever came of it."""


class CallersPurse(Purse):
    """Pays one request from its caller's budgets, and notes it on the request's tab (`apikeys.tabs`)."""

    def __init__(self, caller: Caller, request_id: UUID) -> None:
        self._caller = caller
        self._tab = tabs.of(request_id)
        self._call: int | None = None  # its place on the tab

    def reserve(self, most: Decimal) -> None:
        super().reserve(most)
        if most:
            self._tab.accounts, name = budgets.reserve(self._caller, most)
            self._tab.held.append(name)
        self._call = len(self._tab.taken)
        self._tab.taken.append(Spent())

    def take(self, spent: Spent) -> None:
        if self._call is not None:  # else it was refused, and never made
            self._tab.taken[self._call] = spent

    def note(self, attempt: Attempt) -> None:
        self._tab.attempts.append(attempt)
