"""What the settings' list of prices makes of tokens and searches."""

from decimal import Decimal

import pytest
from pytest_django.fixtures import Settings

from apikeys import prices
from apikeys.prices import Amount

MILLION = 1_000_000


@pytest.fixture(autouse=True)
def listed(settings: Settings) -> None:
    settings.MODEL_PRICES = {"gpt-x": (1.0, 2.0), "gpt-y": (3.0, 0.5), "tiny": (0.1, 0.0), "odd": (1.1, 0.0)}
    settings.RERANK_SEARCH_PRICE = 2.0


@pytest.mark.parametrize(
    ("model", "cost"), [("gpt-x", 3), ("gpt-x-2024-07-18", 3), ("gpt-x-mini", 0), ("other", 0)]
)
def test_a_dated_model_costs_what_its_name_does(model: str, cost: int) -> None:
    assert prices.cost(model, Amount(MILLION, MILLION)) == cost


def test_one_that_is_not_listed_costs_what_the_dearest_that_was_asked_for_does() -> None:
    asked = ["gpt-x", "gpt-y", "unlisted"]
    assert prices.cost("other", Amount(MILLION, 0), asked=asked) == 3
    assert prices.cost("other", Amount(0, MILLION), asked=asked) == 2
    assert prices.cost("tiny", Amount(MILLION, 0), asked=asked) == Decimal("0.1")
    assert prices.most(asked, Amount(MILLION, MILLION)) == Decimal("3.5")
    assert prices.most(["other"], Amount(MILLION, MILLION)) == 0


def test_a_search_costs_the_same_whoever_searches() -> None:
    assert prices.cost("other", Amount(searches=3)) == Decimal("0.006")
    assert prices.cost("gpt-x", Amount(MILLION, searches=3)) == Decimal("1.006")


def test_what_costs_anything_is_never_free() -> None:
    assert prices.cost("tiny", Amount(1)) == Decimal("0.000001")
    assert prices.cost("odd", Amount(10)) == Decimal("0.000011")  # 10 * 1.1 in binary is more
    assert prices.cost("tiny", Amount()) == 0
