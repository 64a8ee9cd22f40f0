"""Things too dear to make twice, and that must not outlive a fork: made at first use, once in each process."""

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


class PerProcess(Generic[Key, Made]):
    """One `make(key)` a key and process. A child of a fork starts anew: threads and sockets do not survive it."""

    def __init__(self, make: Callable[[Key], Made]) -> None:
        self._make = make
        self._inherited: list[dict[Key, Made]] = []
        self.forget()
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        # Kept and never used: closing what is left of another process's threads and sockets can hang.
        self._inherited.append(self._made)
        self.forget()

    def forget(self) -> None:
        """Make everything anew when it is next asked for."""
        self._made: dict[Key, Made] = {}
        self._lock = threading.Lock()  # a new one: another thread of the parent may have held the old one

    def get(self, key: Key) -> Made:
        """What was made for the key. Callers wait while another thread makes it."""
        if key not in self._made:
            with self._lock:
                if key not in self._made:
                    self._made[key] = self._make(key)
        return self._made[key]

    def made(self) -> list[Made]:
        """All that was made in this process."""
        return list(self._made.values())
