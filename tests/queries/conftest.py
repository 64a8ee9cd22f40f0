"""A corpus to ask, and a model to answer."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from documents.models import Document
from ragsite.lib.inference import circuits, vendor
from tests.makers import Party, ingest
from tests.model_server import ModelServer

KETTLE = (
    "# Kettle\n\nThe warranty of the kettle lasts three years.\n\n"
    "# Tea\n\nTea is served at four o'clock in the garden.\n\n"
    "# Parking\n\nVisitors park their cars behind the old mill.\n"
)


@pytest.fixture
def kettle(ours: Party, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> Document:
    """A document of ours, whose corpus version is announced."""
    with django_capture_on_commit_callbacks(execute=True):
        document = ingest(ours.tenant, KETTLE, filename="kettle.md")
    assert document.status == "ready", document.error_detail
    return document


@pytest.fixture
def model(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """Answers come from this model, whose client hardly pauses between its tries."""
    monkeypatch.setattr(vendor, "BACKOFF", lambda _: 0.01)
    circuits.forget()  # a port comes back in a later test, and an open breaker would with it
    with ModelServer() as server:
        settings.ANSWER_PROVIDER = "openai"
        settings.ANSWER_MODEL = "scripted-1"
        settings.ANSWER_BASE_URL = server.url
        settings.ANSWER_API_KEY = "sk-test"
        settings.ANSWER_TIMEOUT_SECONDS = 5
        settings.MODEL_PRICES = {"scripted-1": (1000.0, 2000.0)}
        yield server
