"""How many of a process's threads one kind of request may hold at once, some of them left for other tenants."""

import threading
from collections import Counter
from uuid import UUID

from ragsite.lib.errors import Unavailable


class Seats:
    """Refuses with a `code`, its sentence, and the seconds after which to come back."""

    def __init__(self, *, code: str, detail: str, retry_after: int) -> None:
        self._code, self._detail, self._retry_after = code, detail, retry_after
        self._taken: Counter[UUID] = Counter()
        # Whatever nobody closed leaves when it is found to be garbage: at any moment, also while its thread counts.
        self._counting = threading.RLock()

    def take(self, tenant_id: UUID, *, seats: int, for_others: int) -> None:
        """One of so many `seats`, of which other tenants keep some; there is always one. Raises Unavailable."""
        with self._counting:
            if self._taken.total() >= seats or self._taken[tenant_id] >= max(1, seats - for_others):
                headers = {"Retry-After": str(self._retry_after)}
                raise Unavailable(self._detail, code=self._code, headers=headers)
            self._taken[tenant_id] += 1

    def leave(self, tenant_id: UUID) -> None:
        with self._counting:
            self._taken[tenant_id] -= 1
            if not self._taken[tenant_id]:
                del self._taken[tenant_id]
