"""How the settings list models, and what of that is refused."""

import pytest
from pytest_django.fixtures import Settings

from queries.generating import chat_models, completion


@pytest.fixture(autouse=True)
def endpoints(settings: Settings) -> None:
    settings.ANSWER_BASE_URL, settings.ANSWER_MODEL = "https://api.example/v1", "first"
    settings.ANSWER_API_KEY = "sk-first"
    settings.ANSWER_API_KEYS = {"10.0.0.5:11434": "sk-other"}


def test_a_fallback_is_at_the_first_address_unless_it_says_another(settings: Settings) -> None:
    settings.ANSWER_FALLBACK_MODELS = ["second", "llama3.1:8b at http://10.0.0.5:11434/v1", "third"]
    assert [(one.model, one.base_url, one.api_key) for one in chat_models.listed()] == [
        ("first", "https://api.example/v1", "sk-first"),
        ("second", "https://api.example/v1", "sk-first"),
        ("llama3.1:8b", "http://10.0.0.5:11434/v1", "sk-other"),
        ("third", "https://api.example/v1", "sk-first"),
    ]


@pytest.mark.parametrize(
    "entry", ["x at 10.0.0.5:11434", "x at ftp://h/v1", " at http://h/v1", "x at http://"]
)
def test_what_is_no_address_is_refused(settings: Settings, entry: str) -> None:
    settings.ANSWER_FALLBACK_MODELS = [entry]
    with pytest.raises(ValueError, match="no model and address"):
        chat_models.listed()


def test_a_password_in_an_address_is_refused_and_not_repeated(settings: Settings) -> None:
    settings.ANSWER_FALLBACK_MODELS = ["x at https://me:hunter2@h/v1"]
    with pytest.raises(ValueError, match="holds a password") as refused:
        chat_models.listed()
    assert "hunter2" not in str(refused.value)


def test_keys_are_in_no_repr(settings: Settings) -> None:
    settings.ANSWER_FALLBACK_MODELS = ["llama at http://10.0.0.5:11434/v1"]
    assert "sk-" not in f"{chat_models.listed()!r} {completion.endpoints()!r}"
    names = [endpoint.name for endpoint in completion.endpoints()]
    assert names == ["api.example", "10.0.0.5:11434"]
