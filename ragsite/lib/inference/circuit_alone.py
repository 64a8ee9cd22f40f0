"""The circuit of one process by itself, while Redis is away; by the same rules as the scripts in `circuits`."""

import time
from dataclasses import dataclass, field
from threading import Lock

from ragsite.lib.inference.circuit_rules import Refusal, Rules, Ticket, Verdict


@dataclass
class Alone:
    rules: Rules
    failures: int = 0
    opened_until: float = 0.0  # 0: closed
    probed_until: float = 0.0
    prober: str = ""
    held_until: dict[str, float] = field(default_factory=dict)  # by model
    places: dict[str, float] = field(default_factory=dict)  # by ticket

    def __post_init__(self) -> None:
        self._lock = Lock()

    def enter(self, ticket: Ticket) -> Refusal | None:
        with self._lock:
            now = time.monotonic()
            self.places = {name: end for name, end in self.places.items() if end > now}
            refusal = self._refusal(ticket, now)
            if refusal is None:
                self.places[ticket.id] = now + ticket.lease_seconds
                if self.opened_until:
                    self.prober, self.probed_until = ticket.id, now + ticket.lease_seconds
            return refusal

    def _refusal(self, ticket: Ticket, now: float) -> Refusal | None:
        if (held := self.held_until.get(ticket.model, 0.0)) > now:
            return Refusal("held", held - now)
        if self.opened_until > now:
            return Refusal("open", self.opened_until - now)
        if self.opened_until and self.probed_until > now:
            return Refusal("open", 1.0)
        if self.rules.places and len(self.places) >= (self.rules.places_alone or self.rules.places):
            return Refusal("full", 1.0)
        return None

    def leave(self, ticket: Ticket, verdict: Verdict, *, hold_seconds: float) -> None:
        with self._lock:
            now = time.monotonic()
            self.places.pop(ticket.id, None)
            if hold_seconds:
                self.held_until[ticket.model] = now + hold_seconds
            probed = self.prober == ticket.id
            if verdict == "unknown" and probed:
                self.prober, self.probed_until = "", 0.0
            elif verdict == "well" and (probed or not self.opened_until):
                self._set(opened_until=0.0)
            elif verdict == "down" and (probed or not self.opened_until):
                self.failures += 1
                if probed or self.failures >= self.rules.failures:
                    self._set(opened_until=now + self.rules.reset_seconds)

    def opened(self, seconds: float) -> None:
        """Notes that the circuit in Redis is open, so that it stays open here should Redis go away."""
        with self._lock:
            self._set(opened_until=time.monotonic() + seconds)

    def _set(self, *, opened_until: float) -> None:
        self.failures, self.opened_until, self.prober, self.probed_until = 0, opened_until, "", 0.0
