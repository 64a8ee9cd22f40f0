"""Amounts of US dollars, counted in whole millionths where they have to add up exactly."""

from decimal import ROUND_HALF_UP, Decimal

_MICRO = Decimal(1_000_000)


def micro(amount: Decimal) -> int:
    """Millionths, rounded as Postgres rounds a `numeric` of six decimals."""
    return int((amount * _MICRO).to_integral_value(ROUND_HALF_UP))


def dollars(micros: int) -> Decimal:
    return Decimal(micros) / _MICRO
