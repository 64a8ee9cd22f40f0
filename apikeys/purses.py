"""What an answer's call to a model is paid from.

Before the call the most that it can cost is reserved; after it the purse is told what it took. The request's record
of use (`apikeys.usage.record`) settles that, whatever became of the request.
"""

from decimal import Decimal
from uuid import UUID

from apikeys import budgets, usage
from apikeys.callers import Caller
from apikeys.spending import Spent, Tab


class Purse:
    """Nobody's: it has no bottom, and what it pays is not on record."""

    reserved = Decimal(0)

    def reserve(self, most: Decimal) -> None:
        """Takes out `most` US dollars, or raises BudgetSpent."""
        self.reserved = most

    def take(self, spent: Spent) -> None:
        """What the call has taken by now; said again, it replaces what was said before."""


class CallersPurse(Purse):
    """A caller's, for the request with this id."""

    def __init__(self, caller: Caller, request_id: UUID) -> None:
        self._caller = caller
        self._request_id = request_id
        self._tab: Tab | None = None
        self._call = 0

    def reserve(self, most: Decimal) -> None:
        super().reserve(most)
        reserved = budgets.reserve(self._caller, most) if most else None
        tab = self._tab = usage.tab(self._request_id)
        if reserved is not None:
            tab.accounts, name = reserved
            tab.held.append(name)
        self._call = len(tab.taken)
        tab.taken.append(Spent())

    def take(self, spent: Spent) -> None:
        if self._tab is not None:
            self._tab.taken[self._call] = spent
