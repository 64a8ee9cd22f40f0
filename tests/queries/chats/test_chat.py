"""Conversations over HTTP: asking in one, whose they are, and what is left of one that was deleted."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from rest_framework.test import APIClient

from apikeys import keys
from apikeys.models import Usage
from queries.models import Conversation, Query
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, ingest, make_conversation, make_key, make_user, signed_in, with_key
from tests.problems import problem
from tests.queries.test_replies import events_of, records

pytestmark = pytest.mark.django_db

TOASTER = "How long is the warranty of the toaster?"
DOCUMENTS = {
    "toaster.txt": "The warranty of the toaster lasts two years. The toaster is repaired by Miller and Sons in Leeds.",
    "kettle.txt": "The warranty of the kettle lasts three years. The kettle is repaired by Brown Brothers in York.",
    "garden.txt": "Tea is served at four o'clock in the garden. The gardener mows the lawn on Fridays.",
}


@pytest.fixture(autouse=True)
def corpus(ours: Party, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        for filename, text in DOCUMENTS.items():
            ingest(ours.tenant, text, filename=filename)


def say(client: Any, message: str, conversation: str | None = None, **body: Any) -> Any:
    body |= {"message": message} | ({"conversation_id": conversation} if conversation else {})
    return client.post("/api/chat", body, format="json", headers=body.pop("headers", None))


def said(client: Any, message: str, conversation: str | None = None, **body: Any) -> Any:
    answer = say(client, message, conversation, **body)
    assert answer.status_code == 200, answer.content
    return answer.json()


def listed(client: Any) -> list[Any]:
    found: list[Any] = client.get("/api/chat/history").json()["results"]
    return found


def messages(client: Any, conversation: str, query: str = "") -> Any:
    return client.get(f"/api/chat/history/{conversation}{query}").json()


def test_the_first_message_begins_a_conversation(ours: Party) -> None:
    answer = said(ours.user_client, TOASTER)
    assert answer["conversation_id"] == answer["id"]
    assert answer["question"] == TOASTER
    assert answer["standalone_question"] is None
    assert "two years" in answer["answer"]
    (conversation,) = listed(ours.user_client)
    assert (conversation["id"], conversation["title"]) == (answer["id"], TOASTER)
    assert conversation["created_at"] == conversation["updated_at"]
    (message,) = messages(ours.user_client, answer["id"])["messages"]
    assert (message["id"], message["answer"]) == (answer["id"], answer["answer"])
    assert message["conversation_id"] == answer["id"]


def test_an_answer_is_that_of_a_query_and_its_conversation(ours: Party) -> None:
    asked = ours.client.post("/api/query", {"question": TOASTER, "use_cache": False}, format="json").json()
    answer = said(ours.client, TOASTER, use_cache=False)
    assert set(answer) == set(asked) | {"conversation_id"}


def test_a_follow_up_is_understood_in_its_conversation(ours: Party) -> None:
    alone = said(ours.user_client, "And who repairs it?")
    assert alone["standalone_question"] is None
    for device, repairer in (("toaster", "Miller"), ("kettle", "Brown")):
        first = said(ours.user_client, f"How long is the warranty of the {device}?")
        answer = said(ours.user_client, "And who repairs it?", first["conversation_id"])
        assert answer["conversation_id"] == first["id"] != answer["id"]
        assert answer["question"] == "And who repairs it?"
        assert device in answer["standalone_question"]
        assert repairer in answer["answer"]
        assert answer["sources"][0]["title"] == device
        row = Query.objects.for_tenant(ours.tenant).get(pk=answer["id"])
        assert row.standalone_question == answer["standalone_question"]


def test_a_conversation_moves_up_when_it_goes_on(ours: Party) -> None:
    first, second = (said(ours.user_client, f"Question {number}?")["id"] for number in range(2))
    assert [row["id"] for row in listed(ours.user_client)] == [second, first]
    said(ours.user_client, "And then?", first)
    assert [row["id"] for row in listed(ours.user_client)] == [first, second]
    assert listed(ours.user_client)[0]["updated_at"] > listed(ours.user_client)[0]["created_at"]


def test_lists_and_messages_come_in_pages(ours: Party) -> None:
    ids = [said(ours.user_client, f"Question {number}?")["id"] for number in range(3)]
    asked = [ids[0], *(said(ours.user_client, f"Number {number}?", ids[0])["id"] for number in range(4))]
    client = ours.user_client
    found, address = [], "/api/chat/history?limit=2"
    while address:
        page = client.get(address).json()
        found += [row["id"] for row in page["results"]]
        address = page["next"]
    assert found == [ids[0], ids[2], ids[1]]
    found, address = [], f"/api/chat/history/{ids[0]}?limit=2"
    while address:
        page = client.get(address).json()
        assert page["id"] == ids[0]
        found += [row["id"] for row in page["messages"]]
        address = page["next"]
    assert found == asked[::-1]
    problem(client.get("/api/chat/history?cursor=x"), 400)
    problem(client.get(f"/api/chat/history/{ids[0]}?cursor=x"), 400)


# The cache ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["client", "user_client"])
def test_what_comes_from_the_cache_stands_in_its_conversation(ours: Party, caller: str) -> None:
    client = getattr(ours, caller)
    asked = client.post("/api/query", {"question": TOASTER}, format="json").json()
    first = said(client, TOASTER)
    assert (asked["from_cache"], first["from_cache"]) == (False, True)
    assert first["answer"] == asked["answer"]
    made = said(client, "And who repairs it?", first["conversation_id"])
    again = said(client, TOASTER)
    kept = said(client, "And who repairs it?", again["conversation_id"])
    assert (made["from_cache"], kept["from_cache"]) == (False, True)
    assert kept["standalone_question"] == made["standalone_question"] is not None
    found = messages(client, again["conversation_id"])["messages"]
    assert [row["id"] for row in found] == [kept["id"], again["id"]]
    assert [row["from_cache"] for row in found] == [True, True]
    assert found[0]["standalone_question"] == made["standalone_question"]
    told = [used.from_cache for used in records() if used.method == "POST"]
    assert told == [False, True, False, True, True]


def test_a_follow_up_is_cached_by_what_was_said_before_it(ours: Party) -> None:
    follow_ups = []
    for device in ("toaster", "kettle"):
        first = said(ours.client, f"How long is the warranty of the {device}?")
        follow_ups.append(said(ours.client, "Who repairs it?", first["conversation_id"]))
    alone = ours.client.post("/api/query", {"question": "Who repairs it?"}, format="json").json()
    assert [answer["from_cache"] for answer in (*follow_ups, alone)] == [False] * 3
    assert "Miller" in follow_ups[0]["answer"]
    assert "Brown" in follow_ups[1]["answer"]


# Whose it is -------------------------------------------------------------------------------------------------------


def test_nobody_asks_in_anothers_conversation(ours: Party, theirs: Party) -> None:
    colleague = signed_in(make_user("colleague", tenant=ours.tenant, role="user"))
    other_key = with_key(make_key(ours.tenant, owner=ours.user)[1])
    begun = {
        ours.user_client: said(ours.user_client, TOASTER)["id"],
        ours.client: said(ours.client, TOASTER)["id"],
        ours.business_client: said(ours.business_client, TOASTER)["id"],
    }
    everyone = [*begun, colleague, other_key, theirs.client, theirs.user_client, theirs.business_client]
    for owner, conversation in begun.items():
        for caller in everyone:
            if caller is not owner:
                problem(say(caller, "And who repairs it?", conversation), 404, "not_found")
    assert Query.objects.across_tenants().filter(status="failed").count() == 0
    problem(say(ours.client, "Why?", str(uuid4())), 404)


def test_a_business_user_sees_the_tenants_conversations(ours: Party, theirs: Party) -> None:
    of_user, of_key = said(ours.user_client, TOASTER)["id"], said(ours.client, TOASTER)["id"]
    colleague = signed_in(make_user("colleague", tenant=ours.tenant, role="user"))
    seen = {
        ours.business_client: {of_user, of_key},
        ours.user_client: {of_user},
        ours.client: {of_key},
        colleague: set(),
        theirs.business_client: set(),
    }
    for caller, own in seen.items():
        assert {row["id"] for row in listed(caller)} == own
        for conversation in (of_user, of_key):
            path = f"/api/chat/history/{conversation}"
            if conversation in own:
                assert caller.get(path).json()["messages"][0]["question"] == TOASTER
                assert caller.patch(path, {"title": "Mine"}, format="json").status_code == 200
            else:
                for answer in (caller.get(path), caller.delete(path), caller.patch(path, {"title": "x"}, format="json")):  # fmt: skip
                    problem(answer, 404, "not_found")
    assert ours.business_client.delete(f"/api/chat/history/{of_user}").status_code == 204


def test_a_line_of_rotated_keys_goes_on_with_its_conversations(ours: Party) -> None:
    first = said(ours.client, TOASTER)["id"]
    second, _ = keys.rotate(ours.key)
    _, raw = keys.rotate(second)
    other = with_key(make_key(ours.tenant)[1])
    assert "Miller" in said(with_key(raw), "Who repairs it?", first)["answer"]
    assert [row["id"] for row in listed(with_key(raw))] == [first]
    assert len(messages(with_key(raw), first)["messages"]) == 2
    assert listed(other) == []


def test_a_deleted_users_conversations_stay_with_the_business_user(ours: Party) -> None:
    first = said(ours.user_client, TOASTER)["id"]
    ours.user.delete()
    row = Conversation.objects.for_tenant(ours.tenant).get()
    assert (str(row.pk), row.user_id, row.key_id) == (first, None, None)
    assert [row["id"] for row in listed(ours.business_client)] == [first]


# Titles, renaming, deleting ----------------------------------------------------------------------------------------


def test_renaming(ours: Party) -> None:
    first = said(ours.user_client, TOASTER)["id"]
    path = f"/api/chat/history/{first}"
    renamed = ours.user_client.patch(path, {"title": "  Toasters "}, format="json")
    assert (renamed.status_code, renamed.json()["title"]) == (200, "Toasters")
    assert listed(ours.user_client)[0]["title"] == "Toasters"
    for wrong in ({}, {"title": ""}, {"title": "\u202e\u200b"}, {"title": "x" * 101}, {"title": 7}, {"title": "x", "user": "y"}):  # fmt: skip
        problem(ours.user_client.patch(path, wrong, format="json"), 400, "invalid")
    said(ours.user_client, "And who repairs it?", first)
    assert listed(ours.user_client)[0]["title"] == "Toasters"


def test_deleting_leaves_the_history_and_the_records(ours: Party) -> None:
    first = said(ours.user_client, TOASTER)["id"]
    second = said(ours.user_client, "And who repairs it?", first)["id"]
    ours.user_client.post(f"/api/history/{second}/feedback", {"rating": "up"}, format="json")
    other = said(ours.user_client, "When is tea?")["id"]
    assert ours.user_client.delete(f"/api/chat/history/{first}").status_code == 204
    for answer in (
        ours.user_client.get(f"/api/chat/history/{first}"),
        ours.user_client.delete(f"/api/chat/history/{first}"),
        say(ours.user_client, "And then?", first),
    ):
        problem(answer, 404, "not_found")
    assert [row["id"] for row in listed(ours.user_client)] == [other]
    history = ours.user_client.get("/api/history").json()["results"]
    assert [row["id"] for row in history] == [other, second, first]
    assert [row["conversation_id"] for row in history] == [other, None, None]
    assert history[1]["feedback"]["rating"] == "up"
    assert {str(pk) for pk in (used.pk for used in records())} >= {first, second}


# Streams, retries, failures ----------------------------------------------------------------------------------------


def test_streams(ours: Party) -> None:
    whole: list[Any] = []
    for message in (TOASTER, "And who repairs it?"):
        conversation = whole[0]["id"] if whole else None
        events = events_of(say(ours.user_client, message, conversation, stream=True))
        whole.append(events[-1][1])
    assert [answer["conversation_id"] for answer in whole] == [whole[0]["id"]] * 2
    assert "toaster" in whole[1]["standalone_question"]
    again = events_of(say(ours.user_client, TOASTER, stream=True))[-1][1]
    assert (again["from_cache"], again["conversation_id"]) == (True, again["id"])
    assert len(messages(ours.user_client, whole[0]["id"])["messages"]) == 2
    assert len(messages(ours.user_client, again["id"])["messages"]) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_is_one_message(ours: Party, *, stream: bool) -> None:
    def send(message: str, conversation: str | None = None) -> Any:
        headers = {"Idempotency-Key": message}
        return say(ours.client, message, conversation, stream=stream, headers=headers)

    def content(answer: Any) -> bytes:
        return b"".join(answer.streaming_content) if stream else answer.content

    first, again = (content(send(TOASTER)) for _ in range(2))
    assert first == again
    (conversation,) = listed(ours.client)
    follow_ups = [content(send("And who repairs it?", conversation["id"])) for _ in range(2)]
    assert follow_ups[0] == follow_ups[1]
    assert len(messages(ours.client, conversation["id"])["messages"]) == 2
    problem(send("And who repairs it?"), 409, "idempotency_mismatch")


def test_what_fails_begins_no_conversation(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    first = said(ours.user_client, TOASTER)["id"]
    fails(monkeypatch)
    for conversation in (None, first):
        assert say(ours.user_client, "And who repairs it?", conversation, use_cache=False).status_code == 502
    monkeypatch.undo()
    assert [row["id"] for row in listed(ours.user_client)] == [first]
    failed = messages(ours.user_client, first)["messages"][0]
    assert (failed["status"], failed["error_code"]) == ("failed", "model_failed")
    assert "Miller" in said(ours.user_client, "And who repairs it?", first)["answer"]
    assert Query.objects.for_tenant(ours.tenant).filter(conversation=None).count() == 1


def fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from ragsite.lib.errors import ModelFailed

    def fail(*_: object, **__: object) -> None:
        raise ModelFailed("no")

    monkeypatch.setattr("queries.generating.generation._extract", fail)


@pytest.mark.django_db(transaction=True)  # leaving ends the request, and with it the connection
def test_a_client_that_leaves_its_first_question_begins_none(ours: Party) -> None:
    for conversation in (None, said(ours.user_client, TOASTER)["id"]):
        say(ours.user_client, "When is tea?", conversation, stream=True, use_cache=False).close()
    rows = Query.objects.for_tenant(ours.tenant).filter(error_code="client_left").order_by("id")
    assert [row.conversation_id for row in rows] == [None, UUID(listed(ours.user_client)[0]["id"])]


def test_wrong_messages(ours: Party) -> None:
    for wrong in ({}, {"message": ""}, {"message": "x" * 4001}, {"message": "x", "question": "y"}, {"question": "x"},
                  {"message": "x", "conversation_id": "x"}, {"message": "x", "conversation_id": 7}):  # fmt: skip
        problem(ours.client.post("/api/chat", wrong, format="json"), 400, "invalid")
    assert said(ours.client, TOASTER, conversation_id=None)["conversation_id"]


def test_other_parameters_hold_as_in_a_query(ours: Party) -> None:
    first = said(ours.client, TOASTER, top_k=1)
    assert len(first["sources"]) == 1
    follow_up = said(ours.client, "And who repairs it?", first["id"], top_k=2)
    assert len(follow_up["sources"]) == 2
    problem(say(ours.client, "Why?", first["id"], collection="none"), 404)


def test_no_key_without_its_scope_and_nobody_without_a_tenant(ours: Party, anonymous: APIClient) -> None:
    problem(say(with_key(make_key(ours.tenant, scopes=["ingest"])[1]), TOASTER), 403, "scope")
    problem(say(anonymous, TOASTER), 401)


def test_records_name_the_endpoint(ours: Party) -> None:
    said(ours.client, TOASTER)
    assert [(used.endpoint, used.status) for used in records()] == [("/api/chat", 200)]
    assert Usage.objects.for_tenant(ours.tenant).count() == 1


def test_an_operator_reads_the_messages(ours: Party, admin_client: Any) -> None:
    conversation = make_conversation(
        ours.tenant, user=ours.user, question="<script>alert(1)</script>", answer="<img src=x>"
    )
    row = {"tenant": ours.tenant, "conversation": conversation, "created_at": conversation.created_at}
    Query.objects.bulk_create(
        Query(id=UUID(int=uuid7().int + (number << 80)), question=f"More {number}", status="answered", **row)
        for number in range(30)
    )
    listing = admin_client.get("/admin/queries/conversation/").content.decode()
    page = admin_client.get(f"/admin/queries/conversation/{conversation.pk}/change/").content.decode()
    for shown in (listing, page):
        assert "<script>alert(1)" not in shown
        assert "&lt;script&gt;" in shown
    assert "More 29" in page
    assert "More 1<" not in page  # the first twenty, the latest first
