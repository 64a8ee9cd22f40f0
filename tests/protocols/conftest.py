"""The corpus and the model of the tests of answers, and OpenAI's own client."""

from collections.abc import Iterator

import httpx2
import openai
import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from ragsite.wsgi import application
from tests.makers import Party
from tests.queries.conftest import kettle, model

__all__ = ["kettle", "model"]


def client_of(raw: str) -> openai.OpenAI:
    """The official client, whose requests this process answers."""
    http = httpx2.Client(transport=httpx2.WSGITransport(app=application))
    return openai.OpenAI(api_key=raw, base_url="http://testserver/v1", http_client=http, max_retries=0)


@pytest.fixture
def client(ours: Party) -> Iterator[openai.OpenAI]:
    with client_of(ours.raw) as made:
        yield made


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """A request of the client's is answered within the test's transaction, as one of Django's own test client is."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
