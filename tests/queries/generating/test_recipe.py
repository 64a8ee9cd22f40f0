"""The settings that decide an answer: each of them makes it another one, in the cache as in traces."""

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from queries.answers import Ask
from queries.caching import cache
from queries.generating import recipe

CHANGES: dict[str, Any] = {
    "ANSWER_PROVIDER": "extractive",
    "ANSWER_BASE_URL": "https://other.example/v1",
    "ANSWER_MODEL": "other",
    "ANSWER_FALLBACK_MODELS": [],
    "ANSWER_MAX_TOKENS": 77,
    "ANSWER_WINDOW_TOKENS": 7_777,
    "RERANK_PROVIDER": "cohere",
    "RERANK_URL": "https://other.example/rerank",
    "RERANK_MODEL": "other",
    "RERANK_CANDIDATES": 7,
}


@pytest.fixture(autouse=True)
def settled(settings: Settings) -> None:
    settings.ANSWER_PROVIDER = "openai"
    settings.ANSWER_BASE_URL = "https://name:secret@first.example/v1"
    settings.ANSWER_MODEL, settings.ANSWER_FALLBACK_MODELS = "first", ["second at https://second.example/v1"]
    settings.RERANK_PROVIDER, settings.RERANK_URL = "jina", "https://first.example/rerank"
    settings.RERANK_MODEL = "rerank-1"


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_each_setting_that_decides_an_answer_makes_it_another(settings: Settings, name: str) -> None:
    ask = Ask("Why?")
    before = recipe.current(), cache.digest(ask)
    assert (recipe.current(), cache.digest(ask)) == before
    setattr(settings, name, CHANGES[name])
    assert recipe.current() != before[0]
    assert cache.digest(ask) != before[1]


def test_addresses_are_not_told() -> None:
    assert "example" not in str(recipe.current())
    assert "secret" not in str(recipe.current())


def test_what_is_off_decides_nothing(settings: Settings) -> None:
    settings.ANSWER_PROVIDER, settings.RERANK_PROVIDER = "extractive", "none"
    before = recipe.current()
    assert set(before) == {"generator", "models", "prompt_version"}
    settings.ANSWER_MODEL, settings.RERANK_MODEL = "other", "other"
    assert recipe.current() == before
