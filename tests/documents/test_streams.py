"""A document followed as server-sent events."""

import gc
import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from documents import indexing, states, streams
from documents.models import Document
from documents.streams import Following
from ragsite.lib import row_security
from tests.makers import Party, ingest, make_document, make_key
from tests.problems import problem
from tests.strangers import with_header

pytestmark = pytest.mark.django_db(transaction=True)  # between two looks it gives its connection back


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.2)


def follow(party: Party, document: Document, **headers: str) -> Any:
    return Client(HTTP_X_API_KEY=party.raw).get(f"/api/documents/{document.pk}/events", headers=headers)


def parsed(event: bytes) -> tuple[str, Any]:
    """The event's name and data; "" for a comment."""
    lines = dict(line.split(": ", 1) for line in event.decode().strip().splitlines())
    return lines.get("event", ""), json.loads(lines.get("data", "null"))


def identifier(event: bytes) -> str:
    return event.decode().partition("id: ")[2].partition("\n")[0]


def move(document: Document, **values: Any) -> None:
    with row_security.across():
        Document.objects.across_tenants().filter(pk=document.pk).update(**values)


def test_each_change_until_it_is_ready(ours: Party) -> None:
    document = make_document(ours.tenant, "A text.")
    answer = follow(ours, document)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    assert (answer["Cache-Control"], answer["X-Accel-Buffering"]) == ("no-store", "no")
    events = iter(answer.streaming_content)
    whole = Client(HTTP_X_API_KEY=ours.raw).get(f"/api/documents/{document.pk}").json()
    assert parsed(next(events)) == ("document", whole)
    claimed = states.claim(document.pk)
    assert claimed is not None
    states.begin(claimed)
    name, data = parsed(next(events))
    assert (name, data["status"], data["stage"]) == ("document", "processing", "parsing")
    claimed.progress_done, claimed.progress_total = 3, 9
    states.advance([claimed], Document.Stage.EMBEDDING)
    assert parsed(next(events))[1]["progress"] == {"done": 3, "total": 9}
    assert streams._limit._held[ours.tenant.pk] == 1
    states.make_ready([claimed])
    assert parsed(next(events))[1]["status"] == "ready"
    assert list(events) == []
    assert streams._limit._held[ours.tenant.pk] == 0  # closed by whoever sent it


def test_a_finished_one_is_told_at_once_and_holds_no_thread(ours: Party) -> None:
    document = ingest(ours.tenant, "A text.")
    answer = follow(ours, document)
    assert not answer.streaming
    assert parsed(answer.content)[1]["status"] == "ready"
    again = follow(ours, document, **{"Last-Event-ID": identifier(answer.content)})
    assert (again.status_code, again.content) == (204, b"")  # a browser does not come back
    assert follow(ours, document, **{"Last-Event-ID": "another"}).status_code == 200


def test_what_was_seen_is_not_told_again(ours: Party) -> None:
    document = make_document(ours.tenant, "A text.")
    first = next(iter(follow(ours, document).streaming_content))
    events = iter(follow(ours, document, **{"Last-Event-ID": identifier(first)}).streaming_content)
    assert parsed(next(events)) == ("", None)
    move(document, status="failed", error_code="corrupt")
    assert parsed(next(events))[1]["error_code"] == "corrupt"


def test_one_that_is_deleted_meanwhile(ours: Party) -> None:
    document = make_document(ours.tenant, "A text.")
    identity = str(document.pk)
    events = iter(follow(ours, document).streaming_content)
    next(events)
    indexing.remove(document)
    assert parsed(next(events)) == ("deleted", {"id": identity})
    assert list(events) == []


def test_while_nothing_happens_a_comment_comes_and_at_last_the_end(ours: Party, settings: Any) -> None:
    settings.EVENT_STREAM_SECONDS = 1
    document = make_document(ours.tenant, "A text.")
    _, *rest = list(follow(ours, document).streaming_content)
    assert 3 <= len(rest) <= 6
    assert all(event.startswith(b": ") for event in rest)
    assert b"\nretry: 1000\n" in rest[-1]


def test_more_than_a_process_keeps(ours: Party, theirs: Party, settings: Any) -> None:
    gc.collect()  # what other tests have not closed
    settings.EVENT_STREAMS = 3
    document = make_document(ours.tenant, "A text.")
    held = [follow(ours, document) for _ in range(2)]
    refused = follow(ours, document, Accept="text/event-stream")
    problem(refused, 503, "too_many_streams")
    assert refused["Retry-After"] == "5"
    others = follow(theirs, make_document(theirs.tenant, "A text."))
    assert others.status_code == 200  # one tenant does not take them all
    held[0].close()
    held[0] = follow(ours, document)
    assert held[0].status_code == 200
    del held, refused
    gc.collect()  # what is never sent is never closed, and leaves all the same
    assert streams._limit._held[ours.tenant.pk] == 0


def test_a_database_that_is_away_ends_it_and_the_client_comes_back(
    ours: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document(ours.tenant, "A text.")
    events = iter(follow(ours, document).streaming_content)
    next(events)

    def away(_: Following) -> bytes:
        raise OperationalError

    monkeypatch.setattr(Following, "_seen_now", away)
    assert b"retry: 5000" in next(events)
    assert list(events) == []


def test_whose_it_is(ours: Party, theirs: Party) -> None:
    document = make_document(ours.tenant, "A text.")
    problem(follow(theirs, document, Accept="text/event-stream"), 404, "not_found")
    other = make_document(ours.tenant, "x", collection="other").collection_id
    _, raw = make_key(ours.tenant, collection_ids=[other])
    problem(with_header(raw).get(f"/api/documents/{document.pk}/events"), 404)


def test_it_touches_its_tenants_rows_alone_and_leaves_nobodys(ours: Party) -> None:
    """Whoever sends its events has left the middleware, and sends other requests after it."""
    document = make_document(ours.tenant, "A text.")
    with row_security.nobody():
        events = iter(follow(ours, document).streaming_content)
        assert parsed(next(events))[0] == "document"
        move(document, status="failed", error_code="corrupt")
        assert not row_security.is_set()
        assert parsed(next(events))[1]["status"] == "failed"
        assert not row_security.is_set()
