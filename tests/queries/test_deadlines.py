"""All models that one question waits for hold its thread no longer than an answer may take."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from documents.embedding import spaces
from queries import answering
from queries.chats import rewriting
from queries.generating import completion
from ragsite.lib.inference import circuits
from tests.makers import Party, ingest, make_conversation
from tests.model_server import Behaviour, ModelServer
from tests.problems import problem
from tests.queries.chats.test_chat import say
from tests.queries.test_model_faults import told

pytestmark = pytest.mark.django_db

ALONE = 30.0  # seconds that an embedding endpoint has for a question when nothing else limits it


@pytest.fixture
def embedder(settings: Settings) -> Iterator[ModelServer]:
    """Embeds by an endpoint of its own."""
    with ModelServer() as server:
        settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL = "openai", "bag"
        settings.EMBEDDING_BASE_URL, settings.EMBEDDING_API_KEY = server.url, "sk-embedding"
        assert spaces.model(spaces.active()).timeout_seconds == ALONE
        yield server


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_follow_up_whose_models_all_hang_is_given_up_in_time(
    ours: Party,
    model: ModelServer,
    embedder: ModelServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    *,
    stream: bool,
) -> None:
    settings.ANSWER_TIMEOUT_SECONDS, settings.ANSWER_BREAKER_FAILURES = 1, 1
    monkeypatch.setattr(answering, "_SLACK_SECONDS", 0.5)
    monkeypatch.setattr(rewriting, "SECONDS", 0.5)
    ingest(ours.tenant, "The warranty of the toaster lasts two years.")
    conversation = make_conversation(
        ours.tenant, user=ours.user, question="The toaster?", answer="Two years."
    )
    for server in (model, embedder):
        server.reset(Behaviour(fault="hang"))
    began = time.monotonic()
    answer: Any = told(say(ours.user_client, "And the kettle?", str(conversation.pk), stream=stream))
    assert time.monotonic() - began < ALONE / 2
    assert (answer["status"], answer["code"]) == (504, "model_timeout")
    assert (model.calls, embedder.calls) == (1, 1)  # to rewrite and to embed: no time is left to answer
    assert circuits.of(completion.endpoints()[0]).state == "closed"  # for it was not given an answer's time


def test_a_search_is_given_up_in_time(
    ours: Party, embedder: ModelServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANSWER_TIMEOUT_SECONDS = 1
    monkeypatch.setattr(answering, "_SLACK_SECONDS", 0.0)
    embedder.reset(Behaviour(fault="hang"))
    began = time.monotonic()
    problem(ours.client.post("/api/search", {"question": "The kettle?"}, format="json"), 504)
    assert time.monotonic() - began < ALONE / 2
