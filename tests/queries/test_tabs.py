"""What requests have open while they are answered: all of it closed by their records, whatever became of them."""

from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from apikeys import tabs
from apikeys.models import Usage
from queries import recording
from queries.models import Query
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, ingest
from tests.model_server import Behaviour, ModelServer

QUESTION = "How long does the warranty of the kettle last?"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_open() -> None:
    tabs._open.clear()


def ask(client: APIClient, **body: Any) -> Any:
    return client.post("/api/query", {"question": QUESTION, "use_cache": False, **body}, format="json")


def leave(client: APIClient) -> None:
    """In the middle of what the model says."""
    answer = ask(client, stream=True)
    events = iter(answer.streaming_content)
    while not next(events).startswith(b"event: token"):
        pass
    answer.close()


def test_the_record_of_use_closes_the_tab_and_says_what_the_history_does(
    ours: Party, model: ModelServer
) -> None:
    ingest(ours.tenant, "The warranty of the kettle lasts three years.")
    ask(ours.client)
    b"".join(ask(ours.client, stream=True).streaming_content)
    leave(ours.client)
    model.reset(Behaviour(fault="invalid_json"))
    ask(ours.client)
    ask(ours.client, top_k=-1)
    ours.client.post("/api/search", {"question": QUESTION}, format="json")
    assert not tabs._open
    reader = recording.client()
    recording.prepare(reader)
    recording.drain(reader, block_ms=None)
    reader.close()
    connection.close()
    columns = "prompt_tokens", "completion_tokens", "cost_usd"
    kept = {row.pk: row for row in Query.objects.across_tenants()}
    assert len(kept) == 4
    for used in Usage.objects.across_tenants().filter(pk__in=kept):
        row = kept.pop(used.pk)
        assert [getattr(row, name) for name in columns] == [getattr(used, name) for name in columns]
        assert row.cost_usd > 0
        assert row.attempts
        assert row.trace
    assert not kept


def test_what_never_comes_to_its_record_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabs, "_MOST_OPEN", 3)
    requests = [uuid7() for _ in range(5)]
    for request in requests:
        assert tabs.of(request) is tabs.of(request)
    assert [tabs.close(request) is not None for request in requests] == [False, False, True, True, True]
