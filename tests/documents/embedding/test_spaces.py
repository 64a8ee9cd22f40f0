"""Which space serves, how its model is reached, and what is said when the settings describe another."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError, connections, transaction
from django.test import Client
from pytest_django import Settings

from documents import checks
from documents.embedding import spaces
from documents.embedding.spaces import State
from documents.models import EmbeddingSpace
from ragsite.lib import environment
from tests.makers import make_user

pytestmark = pytest.mark.django_db


def make_space(**changes: Any) -> EmbeddingSpace:
    wishes = {
        "provider": "openai",
        "model": "bge-m3",
        "precision": "",
        "dimensions": 1024,
        "state": State.ACTIVE,
    }
    return EmbeddingSpace.objects.create(**(wishes | changes))


def test_the_first_space_is_the_one_that_the_settings_describe(settings: Settings) -> None:
    settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL = "openai", "text-embedding-3-small"
    settings.EMBEDDING_DIMENSIONS = 512
    space = spaces.active()
    assert str(space) == "openai:text-embedding-3-small (512)"
    assert (space.state, spaces.active(), spaces.live()) == (State.ACTIVE, space, [space])
    assert spaces.mismatch(space) is None


def test_there_is_one_that_serves_and_one_that_is_built() -> None:
    for state in (State.ACTIVE, State.BUILDING):
        make_space(state=state)
        with pytest.raises(IntegrityError), transaction.atomic():
            make_space(state=state, model="another")


def test_new_documents_enter_what_serves_first_and_what_is_built_unless_it_pauses() -> None:
    building, active = make_space(state=State.BUILDING, model="next"), make_space()
    make_space(state=State.DROPPED)
    assert spaces.live() == [active, building]
    spaces.pause(building, "It is down.")
    assert spaces.live() == [active]


def test_a_model_is_what_its_row_says_and_is_reached_as_the_settings_say(settings: Settings) -> None:
    settings.EMBEDDING_BASE_URL, settings.EMBEDDING_API_KEY = "https://One.example/v1", "sk-one"
    settings.EMBEDDING_API_KEYS = environment.keys("X", "two.example:8443=sk-two")
    reached = {}
    for base_url in (
        "",
        "https://one.example/other",
        "https://two.example:8443/v1",
        "https://three.example/v1",
    ):
        model = spaces.model(EmbeddingSpace(provider="openai", model="m", dimensions=8, base_url=base_url))
        reached[model.base_url] = model.api_key
    assert reached == {
        "https://One.example/v1": "sk-one",
        "https://one.example/other": "sk-one",
        "https://two.example:8443/v1": "sk-two",
        "https://three.example/v1": "",
    }


def test_a_local_model_knows_no_endpoint_and_is_loaded_once_whatever_the_settings_say(
    settings: Settings,
) -> None:
    space = EmbeddingSpace(provider="local", model="all-MiniLM-L6-v2", precision="fp32", dimensions=384)
    before = spaces.model(space)
    settings.EMBEDDING_API_KEY, settings.EMBEDDING_PROVIDER = "sk-one", "openai"
    assert spaces.model(space) == before
    assert (before.precision, before.base_url, before.api_key) == ("fp32", "", "")


@pytest.mark.parametrize("value", ["sk-secret", "=sk-secret", "host=", "https://host=sk-secret"])
def test_keys_that_do_not_parse_are_not_shown(value: str) -> None:
    with pytest.raises(
        ImproperlyConfigured, match="EMBEDDING_API_KEYS must be host=key, and its entry 2"
    ) as caught:
        environment.keys("EMBEDDING_API_KEYS", f"one.example=sk-one\n{value}")
    assert "sk-secret" not in str(caught.value)


# Settings that describe another space ----------------------------------------------------------------------------


def found() -> dict[str, str]:
    messages = checks.settings_describe_what_serves(databases=["default"])
    return {str(message.id): f"{message.msg} {message.hint}" for message in messages}


def test_settings_that_describe_what_serves_are_silent() -> None:
    assert found() == {}  # nothing serves yet
    spaces.active()
    assert found() == {}
    assert checks.settings_describe_what_serves(databases=None) == []


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("EMBEDDING_PRECISION", "fp32", "reembed --to local:all-MiniLM-L6-v2 --precision fp32."),
        ("EMBEDDING_MODEL", "another", "reembed --to local:another"),
        ("EMBEDDING_DIMENSIONS", 768, "set what serves: EMBEDDING_PROVIDER=local"),
        ("EMBEDDING_PROVIDER", "openai", "reembed --to openai:all-MiniLM-L6-v2 --dimensions 384."),
    ],
)
def test_settings_that_describe_another_space_are_told_of(
    settings: Settings, setting: str, value: object, remedy: str
) -> None:
    space = spaces.active()
    setattr(settings, setting, value)
    (message,) = found().values()
    assert list(found()) == ["ragsite.W005"]
    assert str(space) in message
    assert remedy in message
    assert spaces.active() == space


def test_a_space_that_no_setting_has_a_key_for_is_an_error(settings: Settings) -> None:
    make_space(base_url="https://two.example/v1")
    settings.EMBEDDING_API_KEY = "sk-one"
    assert list(found()) == ["ragsite.E007", "ragsite.W005"]
    settings.EMBEDDING_API_KEYS = {"two.example": "sk-two"}
    assert list(found()) == ["ragsite.W005"]


def test_the_status_page_says_that_settings_differ_and_what_is_built(settings: Settings) -> None:
    space = spaces.active()
    make_space(state=State.BUILDING, done=30, total=100)
    settings.EMBEDDING_PRECISION = "fp32"
    client = Client()
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    status = client.get("/status", headers={"accept": "application/json"}).json()
    assert status["space"] == str(space)
    assert "reembed --to" in status["settings_differ"]["remedy"]
    assert status["space_building"] == {"space": "openai:bge-m3 (1024)", "percent": 30, "problem": ""}


# Who holds the states --------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_states_that_are_held_are_not_changed_and_holders_do_not_wait_for_one_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spaces, "PATIENCE_MS", 300)

    def held() -> list[EmbeddingSpace]:
        try:
            with transaction.atomic():
                return spaces.hold()
        finally:
            connections.close_all()

    def changed() -> None:
        try:
            with transaction.atomic():
                spaces.hold_alone()
        finally:
            connections.close_all()

    active = spaces.active()
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        spaces.hold()
        assert pool.submit(held).result(10) == [active]
        with pytest.raises(OperationalError):
            pool.submit(changed).result(20)
    changed()
