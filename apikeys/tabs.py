"""A tab for each request that is being answered: what it reserved in budgets, what it took from models, and how its
answer came about.

Whoever makes the answer notes these things here, by the request's id alone, which is also the id of its query. The row
in the history is written from the tab; the record of use (`apikeys.usage.record`) comes last, and closes it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any, Final, Protocol
from uuid import UUID

from apikeys import spending
from apikeys.spending import Spent

_MOST_OPEN: Final = 10_000  # one that never came to its record is forgotten after so many others


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to a chat model.

    `outcome` is a code: `answered`, `client_left`, why it failed, or why nothing was asked (docs/errors.md).
    """

    model: str
    endpoint: str
    started: datetime
    milliseconds: float
    outcome: str
    spent: Spent = field(default_factory=Spent)

    def shown(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "endpoint": self.endpoint,
            "started_at": self.started.isoformat(),
            "milliseconds": self.milliseconds,
            "outcome": self.outcome,
            "prompt_tokens": self.spent.prompt_tokens,
            "completion_tokens": self.spent.completion_tokens,
            "cost_usd": float(self.spent.cost_usd),
        }


class Story(Protocol):
    """How an answer comes about, as far as that is known (`queries.traces.tracing`)."""

    def stored(self) -> dict[str, Any]: ...


@dataclass(slots=True)
class Tab:
    """`accounts` are those of the budgets, `held` the names of what is reserved there, `taken` what each call took.

    `from_cache`: the answer had been made for somebody else.
    """

    accounts: tuple[UUID, ...] = ()
    held: list[str] = field(default_factory=list)
    taken: list[Spent] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    story: Story | None = None
    from_cache: bool = False

    def spent(self) -> Spent:
        return spending.total(self.taken).within_bounds()


_open: dict[UUID, Tab] = {}
_lock = Lock()


def of(request: UUID) -> Tab:
    """The tab of a request that is being answered."""
    with _lock:
        if request not in _open and len(_open) >= _MOST_OPEN:
            del _open[next(iter(_open))]
        return _open.setdefault(request, Tab())


def close(request: UUID) -> Tab | None:
    """The tab of a request whose record is written, if it had one."""
    with _lock:
        return _open.pop(request, None)
