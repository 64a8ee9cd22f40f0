"""The words that circuits speak in: what they go by, who enters, and what is said at the door and on leaving.

`circuits` keeps to them for all processes together, `circuit_alone` for one without Redis.
"""

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
    """`failures` in a row open the circuit for `reset_seconds`; `places` calls at once, any number where 0."""

    failures: int
    reset_seconds: float
    places: int
    places_alone: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call to a model, which may last until `lease_seconds` are over. `id` tells it from every other."""

    id: str
    model: str
    lease_seconds: float
