"""A vendor for the tests of its clients, whose retries hardly pause."""

from collections.abc import Iterator

import pytest

from ragsite.lib.inference import circuits, embedding_endpoint, embedding_pace, vendor
from tests.model_server import ModelServer


@pytest.fixture
def model_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setattr(vendor, "BACKOFF", lambda _: 0.01)
    monkeypatch.setattr(embedding_endpoint, "PATIENT_BACKOFF", lambda _: 0.02)
    for memory in (embedding_endpoint._sizes, embedding_pace._locals):
        memory.forget()
    circuits.forget()  # a port comes back in a later test, and an open breaker would with it
    with ModelServer() as server:
        yield server
