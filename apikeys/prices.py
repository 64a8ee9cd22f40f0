"""What asking models costs, by the settings' list of prices: the one place that reads it.

In US dollars, rounded up to the millionth: what costs anything is never free, however little it is.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from django.conf import settings

from ragsite.lib.money import dollars

Price = tuple[float, float]  # dollars per million tokens of prompt and answer: millionths of a dollar a token
FREE: Price = (0.0, 0.0)

_DATE = re.compile(r"[-@]\d[\d-]*$")
_SEARCHES = 1_000  # that RERANK_SEARCH_PRICE is of, in dollars
_MICRO = 1_000_000


class Amount(NamedTuple):
    """What a model is paid for."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    searches: int = 0


def cost(model: str, amount: Amount, *, asked: Iterable[str] = ()) -> Decimal:
    """What so much of a model costs.

    An unlisted model may be one of those `asked` for under another name, and costs what the dearest of them does. Where
    none of them is listed either, its tokens are free.
    """
    return most([model] if _listed(model) else asked, amount)


def most(models: Iterable[str], amount: Amount) -> Decimal:
    """What so much costs where the dearest of these models takes it."""
    tokens = max((_tokens(_listed(model) or FREE, amount) for model in models), default=Decimal(0))
    searches = amount.searches * _exact(settings.RERANK_SEARCH_PRICE) * _MICRO / _SEARCHES
    return dollars(int((tokens + searches).to_integral_value(ROUND_CEILING)))


def _tokens(price: Price, amount: Amount) -> Decimal:
    """Millionths of a dollar."""
    return amount.prompt_tokens * _exact(price[0]) + amount.completion_tokens * _exact(price[1])


def _listed(model: str) -> Price | None:
    """Endpoints asked for gpt-4o-mini say that gpt-4o-mini-2024-07-18 answered: the price is that of the plain name."""
    table: Mapping[str, Price] = settings.MODEL_PRICES
    return table.get(model) or table.get(_DATE.sub("", model))


def _exact(price: float) -> Decimal:
    """As it was written: 0.1 is no tenth in binary, and rounding up would tell."""
    return Decimal(str(price))
