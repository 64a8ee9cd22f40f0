"""Circuit breakers of one process: what keeps failing is left alone for a while, then tried by one caller at a time.

For Redis and for storage. Models have `ragsite.lib.inference.circuits`, which all processes share by way of Redis.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pybreaker

from ragsite.lib.errors import Unavailable

FIRST_SECONDS = 0.1  # what only stuttered is well again by then


class Breaker:
    """Opens after `failures` in a row; `reset_seconds` later one call probes, and closes it or opens it again."""

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        reset_seconds: float,
        counts: Callable[[Exception], bool],
        answers: Callable[[], bool] | None = None,
    ) -> None:
        """`counts` tells which exceptions are the guarded part's failure, and not its caller's.

        `answers`: whether the guarded part is well. Where it is given, a thread asks it while the breaker is open, soon
        and then every `reset_seconds`, and no caller waits for what hangs.
        """
        self.name = name
        self._answers = answers
        self._watch: threading.Thread | None = None
        self._circuit = pybreaker.CircuitBreaker(
            fail_max=failures,
            reset_timeout=reset_seconds,
            exclude=[lambda error: not counts(error)],
            throw_new_error_on_trip=False,
        )
        self._probe = threading.Lock()

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return self._circuit.current_state

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Run the body and count how it ends; raises `Unavailable` instead of running it while open."""
        probing = self.state != pybreaker.STATE_CLOSED
        if probing and self._answers:
            self._be_watched()
            raise self._refusal()
        # Without this, every thread would probe a hanging endpoint at once, and be held for its whole timeout.
        if probing and not self._probe.acquire(blocking=False):
            raise self._refusal()
        try:
            # `calling`, not `call`: the latter holds a lock while the body runs, so calls would queue up.
            with self._circuit.calling():
                yield
        except pybreaker.CircuitBreakerError:
            raise self._refusal() from None
        finally:
            if probing:
                self._probe.release()

    def _be_watched(self) -> None:
        with self._probe:
            if self._watch is None or not self._watch.is_alive():  # a fork leaves its parent's threads behind
                self._watch = threading.Thread(target=self._close_when_well, name=self.name, daemon=True)
                self._watch.start()

    def _close_when_well(self) -> None:
        pause = min(FIRST_SECONDS, self._circuit.reset_timeout)
        time.sleep(pause)
        while self._answers and not self._answers():
            pause = min(2 * pause, self._circuit.reset_timeout)
            time.sleep(pause)
        self._circuit.close()

    def _refusal(self) -> Unavailable:
        return Unavailable(
            f"{self.name} failed repeatedly and is left alone for a while.",
            headers={"Retry-After": str(max(1, round(self._circuit.reset_timeout)))},
        )
