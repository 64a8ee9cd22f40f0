"""The page of a trace: for operators, and safe to look at."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from apikeys.models import Usage
from documents.models import Document
from queries import history, recording
from queries.models import Query
from tests.makers import Party, ingest, make_user
from tests.strangers import session

pytestmark = pytest.mark.django_db
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def operator(db: None) -> Client:
    return session(make_user("operator", is_staff=True, is_superuser=True))


def asked(party: Party, question: str) -> Query:
    answer = party.client.post("/api/query", {"question": question}, format="json")
    return Query.objects.for_tenant(party.tenant).get(pk=answer.json()["id"])


def test_text_of_documents_questions_and_feedback_is_escaped(ours: Party, operator: Client) -> None:
    ingest(ours.tenant, f"The kettle is {SCRIPT} blue.\n\nA kettle boils.", filename=f"a{SCRIPT}.txt")
    Document.objects.update(title=SCRIPT)
    query = asked(ours, f"Which colour has the kettle {SCRIPT}?")
    history.rate(query, rating="down", comment=SCRIPT)
    page = operator.get(reverse("admin:queries_query_trace", args=[query.pk])).content.decode()
    assert "&lt;script&gt;" in page
    assert "Ask again" in page
    again = operator.post(reverse("admin:queries_query_replay", args=[query.pk])).content.decode()
    assert "The new query" in again
    listed = operator.get(reverse("admin:queries_query_changelist")).content.decode()
    assert "down: &lt;script&gt;" in listed
    for text in (page, again, listed):
        assert SCRIPT not in text


def test_a_replay_by_an_operator_is_the_tenants(ours: Party, operator: Client, kettle: Document) -> None:
    query = asked(ours, "How long does the warranty last?")
    assert operator.post(reverse("admin:queries_query_replay", args=[query.pk])).status_code == 200
    row = Query.objects.for_tenant(ours.tenant).exclude(pk=query.pk).get()
    assert row.trace is not None
    assert row.trace["replay_of"] == str(query.pk)
    redis = recording.client()
    recording.prepare(redis)
    recording.drain(redis, block_ms=None)
    redis.close()
    assert Usage.objects.for_tenant(ours.tenant).get(pk=row.pk).status == 200


def test_whoever_may_only_look_cannot_spend(ours: Party, kettle: Document) -> None:
    viewer = make_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_query"))
    query = asked(ours, "How long does the warranty last?")
    page = session(viewer).get(reverse("admin:queries_query_trace", args=[query.pk]))
    assert page.status_code == 200
    assert b"Ask again" not in page.content
    refused = session(viewer).post(reverse("admin:queries_query_replay", args=[query.pk]))
    assert refused.status_code == 403
    assert Query.objects.count() == 1


def test_a_query_without_a_trace_says_so(ours: Party, operator: Client, kettle: Document) -> None:
    query = asked(ours, "How long does the warranty last?")
    Query.objects.update(trace=None)
    page = operator.get(reverse("admin:queries_query_trace", args=[query.pk]))
    assert b"No trace was kept" in page.content
    again = operator.post(reverse("admin:queries_query_replay", args=[query.pk]))
    assert again.status_code == 302


def test_the_list_asks_as_much_for_many_rows_as_for_few(
    ours: Party, operator: Client, kettle: Document, django_assert_max_num_queries: object
) -> None:
    for number in range(8):
        history.rate(asked(ours, f"How long does warranty {number} last?"), rating="up", comment="")
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        assert operator.get(reverse("admin:queries_query_changelist")).status_code == 200
