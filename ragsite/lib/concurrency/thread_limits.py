"""How many threads of a process one kind of request may hold at once, with some of them kept for other tenants."""

import threading
from collections import Counter
from uuid import UUID

from ragsite.lib.errors import Unavailable


class ThreadLimit:
    """Counts the threads held by each tenant's requests of one kind.

    A request over the limit is refused with `code` and `detail`, and told to come back after `retry_after` seconds.
    """

    def __init__(self, *, code: str, detail: str, retry_after: int) -> None:
        self._code, self._detail, self._retry_after = code, detail, retry_after
        self._held: Counter[UUID] = Counter()
        # Re-entrant: the garbage collector may close a forgotten stream, and so call `leave`, while this thread counts.
        self._counting = threading.RLock()

    def take(self, tenant_id: UUID, *, threads: int, for_others: int) -> None:
        """Holds one of `threads`; the last `for_others` of them are no single tenant's. Raises Unavailable.

        A tenant may always hold one, however few there are.
        """
        with self._counting:
            if self._held.total() >= threads or self._held[tenant_id] >= max(1, threads - for_others):
                headers = {"Retry-After": str(self._retry_after)}
                raise Unavailable(self._detail, code=self._code, headers=headers)
            self._held[tenant_id] += 1

    def leave(self, tenant_id: UUID) -> None:
        with self._counting:
            self._held[tenant_id] -= 1
            if not self._held[tenant_id]:
                del self._held[tenant_id]
