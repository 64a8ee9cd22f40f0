"""What asking models takes, in tokens and money."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce

# What the columns hold: what is more is cut rather than lost.
MAX_TOKENS = 2**31 - 1
MAX_COST = Decimal(999_999)


@dataclass(frozen=True, slots=True)
class Spent:
    """What an answer took from models; cost in US dollars."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    def plus(self, other: "Spent") -> "Spent":
        """What both took."""
        return Spent(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )

    def within_bounds(self) -> "Spent":
        """As the columns can hold it. What is no amount, or less than none, counts as none: no sum survives a NaN."""
        cost = self.cost_usd if self.cost_usd.is_finite() else Decimal(0)
        return Spent(
            prompt_tokens=min(max(self.prompt_tokens, 0), MAX_TOKENS),
            completion_tokens=min(max(self.completion_tokens, 0), MAX_TOKENS),
            cost_usd=min(max(cost, Decimal(0)), MAX_COST),
        )


def total(parts: Iterable[Spent]) -> Spent:
    return reduce(Spent.plus, parts, Spent())
