"""The types that both kinds of circuit share: `circuits`, in Redis, and `circuit_alone`, in a process without it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Verdict = Literal["well", "down", "unknown"]
"""What a call's end says of the endpoint. `unknown`: nothing, since the call was given up for another reason."""


class Refusal(NamedTuple):
    """Why an endpoint is not to be asked now (`open`, `held` or `full`), and for how many seconds."""

    why: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """`failures` in a row open the circuit for `reset_seconds`.

    `places`: how many calls all processes together may have under way, any number where 0; `places_alone`: how many of
    them one may while it cannot ask the others, all where 0.
    """

    failures: int = 5
    reset_seconds: float = 30.0
    places: int = 0
    places_alone: int = 0


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call to a model, which may last until `lease_seconds` are over. `id` tells it from every other."""

    id: str
    model: str
    lease_seconds: float
