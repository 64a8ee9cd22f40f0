"""What asking models took for an answer: every attempt, what it cost, and which query it was for."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import UUID

from apikeys import spending
from apikeys.spending import Spent

_MOST_OPEN = 10_000  # queries that never reached the history are forgotten after so many others


@dataclass(frozen=True, slots=True)
class Attempt:
    """`outcome` is a code: `answered`, `client_left`, why it failed, or why nothing was asked (docs/errors.md)."""

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


def spent(attempts: Sequence[Attempt]) -> Spent:
    """What they took together."""
    return spending.total(attempt.spent for attempt in attempts)


# By the ids of the queries that are being answered, whoever asks models for them; their rows in the history close
# them. As with the tabs of `apikeys.usage`: who closes an answer need not know what it was made by.
_open: OrderedDict[UUID, list[Attempt]] = OrderedDict()
_lock = Lock()


def book(query_id: UUID) -> list[Attempt]:
    """Where the attempts for a query are noted, until its row is written."""
    with _lock:
        while len(_open) >= _MOST_OPEN:
            _open.popitem(last=False)
        return _open.setdefault(query_id, [])


def close(query_id: UUID) -> list[Attempt]:
    """The attempts for a query, whose row is being written."""
    with _lock:
        return _open.pop(query_id, [])
