"""What happens to conversations at the same moment, how far they reach back, and what they are called."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from accounts.models import User
from apikeys import copies
from apikeys.callers import Caller
from apikeys.models import KeyCollection
from documents.models import Collection, Document
from queries.answers import Ask, Turn
from queries.chats import conversations
from queries.models import Conversation, Query
from ragsite.lib import row_security
from ragsite.lib.errors import NotFound
from ragsite.lib.identifiers import made_at, uuid7
from tests.makers import Party, ingest, make_conversation, make_document, make_key, with_key
from tests.problems import problem
from tests.queries.chats.test_chat import listed, messages, said, say

at_once = pytest.mark.django_db(transaction=True)


class Held:
    """Answers that wait in the middle of being made, until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go = Event(), Event()
        from queries.generating import generation

        extract = generation._extract

        def waits(*arguments: Any) -> Any:
            self.begun.set()
            assert self.go.wait(20)
            return extract(*arguments)

        monkeypatch.setattr(generation, "_extract", waits)


def in_thread(pool: ThreadPoolExecutor, *arguments: Any, **body: Any) -> Any:
    def run() -> Any:
        try:
            return say(*arguments, **body)
        finally:
            connections.close_all()

    return pool.submit(run)


@at_once
def test_two_messages_at_once_are_both_answered_by_what_was_said_before(
    ours: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = said(ours.user_client, "Where is the key?")["id"]
    held = Held(monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        asked = [in_thread(pool, ours.user_client, f"And number {number}?", first) for number in range(4)]
        assert held.begun.wait(20)
        held.go.set()
        answers = [future.result(30) for future in asked]
    assert [answer.status_code for answer in answers] == [200] * 4
    found = messages(ours.user_client, first)["messages"]
    assert [row["id"] for row in found] == sorted((row["id"] for row in found), reverse=True)
    assert {row["id"] for row in found} == {first, *(answer.json()["id"] for answer in answers)}
    (conversation,) = Conversation.objects.for_tenant(ours.tenant)
    assert str(conversation.latest) == found[0]["id"]


@at_once
@pytest.mark.parametrize("stream", [False, True])
def test_deleted_while_it_is_being_answered(
    ours: Party, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    """The answer comes, and stands in the history; the conversation does not come back."""
    first = said(ours.user_client, "Where is the key?")["id"]
    held = Held(monkeypatch)

    def ask() -> Any:
        try:
            answer = say(ours.user_client, "And the lock?", first, stream=stream)
            return b"".join(answer.streaming_content) if stream else answer.content
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        assert held.begun.wait(20)
        assert ours.user_client.delete(f"/api/chat/history/{first}").status_code == 204
        held.go.set()
        assert first.encode() in asked.result(30)
    assert listed(ours.user_client) == []
    assert not Query.objects.for_tenant(ours.tenant).exclude(conversation=None).exists()
    assert Query.objects.for_tenant(ours.tenant).count() == 2
    problem(say(ours.user_client, "And then?", first), 404)


@at_once
def test_a_writer_and_a_deletion_leave_no_message_of_nothing(ours: Party) -> None:
    """Whichever of them comes first, no row names a conversation that is no more."""
    for _ in range(15):
        conversation = make_conversation(ours.tenant, user=ours.user)
        pk = uuid7()
        row = Query(id=pk, tenant=ours.tenant, user=ours.user, question="More?", status="answered",
                    created_at=made_at(pk), conversation_id=conversation.pk)  # fmt: skip

        def write(row: Query = row) -> None:
            from django.db import transaction

            with row_security.within(ours.tenant.pk), transaction.atomic():
                row.conversation_id = conversations.enter(row, answered=True)
                row.save(force_insert=True)
            connections.close_all()

        def delete(conversation: Conversation = conversation) -> None:
            with row_security.within(ours.tenant.pk):
                conversations.delete(conversation)
            connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(write), pool.submit(delete)]:
                future.result(20)
        assert Query.objects.filter(pk=pk).get().conversation_id is None
        assert not Conversation.objects.exists()


@at_once
def test_deleted_twice_at_once(ours: Party) -> None:
    conversation = make_conversation(ours.tenant, user=ours.user)

    def delete() -> bool:
        try:
            with row_security.within(ours.tenant.pk):
                conversations.delete(conversation)
        except NotFound:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: delete(), range(4))) == 1


@at_once
@pytest.mark.parametrize("cached", [False, True])
def test_whoever_asks_is_deleted_meanwhile(
    ours: Party, monkeypatch: pytest.MonkeyPatch, *, cached: bool
) -> None:
    """What was answered stands in the history, and no conversation begins."""
    user = ours.user_client
    if cached:
        said(user, "Where is the key?")
        Conversation.objects.all().delete()
    enter = conversations.enter

    def delete() -> None:
        with row_security.across():
            User.objects.filter(pk=ours.user.pk).delete()
        connections.close_all()

    def deleted(*arguments: Any, **options: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(delete).result(20)
        return enter(*arguments, **options)

    monkeypatch.setattr(conversations, "enter", deleted)
    answer = said(user, "Where is the key?")
    assert answer["from_cache"] is cached
    assert not Conversation.objects.exists()
    assert str(Query.objects.for_tenant(ours.tenant).latest("id").pk) == answer["id"]


# How far it reaches back -------------------------------------------------------------------------------------------


def add(
    conversation: Conversation, question: str, answer: str, *, status: str = "answered", sources: Any = ()
) -> None:
    time.sleep(0.002)  # ids of one millisecond are in no order
    pk = uuid7()
    Query.objects.create(id=pk, tenant_id=conversation.tenant_id, conversation=conversation, question=question,
                         answer=answer, status=status, sources=list(sources), created_at=made_at(pk))  # fmt: skip


def turns_of(conversation: Conversation, collections: tuple[UUID, ...] | None = None) -> tuple[Turn, ...]:
    """As whoever may read these collections is given them."""
    return conversations.turns(
        conversation, Caller(tenant_id=conversation.tenant_id, collections=collections)
    )


def test_turns_are_the_latest_that_were_answered_without_their_citations(ours: Party) -> None:
    conversation = make_conversation(
        ours.tenant, user=ours.user, question="First?", answer="One [1]. Two [2][3]."
    )
    add(conversation, "Broken?", "", status="failed")
    add(conversation, "Second?", "The documents do not say.", status="not_found")
    assert turns_of(conversation) == (
        Turn("user", "First?"),
        Turn("assistant", "One. Two."),
        Turn("user", "Second?"),
        Turn("assistant", "The documents do not say."),
    )
    for number in range(30):
        add(conversation, f"Number {number}?", f"It is {number}.")
    turns = turns_of(conversation)
    assert len(turns) == 2 * conversations.MOST_EXCHANGES
    assert (turns[0].text, turns[-1].text) == ("Number 20?", "It is 29.")


def test_turns_have_a_length(ours: Party) -> None:
    conversation = make_conversation(ours.tenant, user=ours.user, question="First?", answer="One.")
    for _ in range(4):
        add(conversation, "Long?", "x" * 7_000)
    assert len(turns_of(conversation)) == 4
    add(conversation, "Longer?", "x" * conversations.MOST_CHARACTERS)
    assert turns_of(conversation) == ()


def test_messages_of_others_are_no_turns(ours: Party, theirs: Party) -> None:
    conversation = make_conversation(ours.tenant, user=ours.user, question="Ours?", answer="Yes.")
    time.sleep(0.002)  # ids of one millisecond are in no order
    pk = uuid7()
    Query.objects.create(id=pk, tenant=theirs.tenant, conversation=conversation, question="Theirs?",
                         answer="No.", status="answered", created_at=made_at(pk))  # fmt: skip
    assert [turn.text for turn in turns_of(conversation)] == ["Ours?", "Yes."]
    assert conversations.messages(conversation).count() == 1


def test_what_was_closed_since_is_no_turn(ours: Party) -> None:
    """Of an answer all sources must be open still; a document that is gone was in a collection as well."""
    conversation = make_conversation(ours.tenant, key=ours.key, question="First?", answer="Of nothing.")
    names = ("open", "open", "shut", "shut")
    here, gone, shut, shut_and_gone = (
        make_document(ours.tenant, f"Text {number}.", collection=name) for number, name in enumerate(names)
    )
    for name, documents in {
        "Here?": [here],
        "Gone?": [here, gone],
        "Shut?": [here, shut],
        "Both?": [shut_and_gone],
    }.items():
        add(conversation, name, "Yes.", sources=[
            {"document_id": str(document.pk), "collection": document.collection.name} for document in documents
        ])  # fmt: skip
    add(conversation, "Moved?", "Yes.", sources=[{"document_id": str(shut.pk), "collection": "open"}])
    for document in (gone, shut_and_gone):
        Document.objects.filter(pk=document.pk).delete()

    def asked(collections: tuple[UUID, ...] | None) -> list[str]:
        return [turn.text for turn in turns_of(conversation, collections) if turn.role == "user"]

    assert asked((here.collection_id,)) == ["First?", "Here?", "Gone?"]
    assert asked(()) == ["First?"]
    assert asked(None) == ["First?", "Here?", "Gone?", "Shut?", "Both?", "Moved?"]


def test_a_follow_up_takes_nothing_from_what_was_closed_since(ours: Party) -> None:
    ingest(ours.tenant, "The warranty of the toaster lasts two years.", collection="devices")
    ingest(ours.tenant, "Tea is served in the garden.")
    collections = Collection.objects.for_tenant(ours.tenant)
    key, raw = make_key(ours.tenant, collection_ids=collections.values_list("pk", flat=True))
    client = with_key(raw)
    first = said(client, "How long is the warranty of the toaster?")["id"]
    assert "toaster" in said(client, "And who repairs it?", first)["standalone_question"]
    KeyCollection.objects.filter(key=key, collection__name="devices").delete()
    copies.forget(key.key_hash)
    assert said(client, "And who repairs it then?", first)["standalone_question"] is None


def test_a_question_without_a_conversation_begins_one(ours: Party) -> None:
    caller, pk = Caller(tenant_id=ours.tenant.pk, user_id=ours.user.pk), uuid7()
    ask = conversations.in_conversation(caller, Ask("Why?"), conversation_id=None, query_id=pk)
    assert (ask.conversation, ask.turns) == (pk, ())
    assert ask.parameters() == Ask("Why?").parameters()


# What it is called -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("How long is it?", "How long is it?"),
        ("  two\n\tlines\u2028and\x00 a NUL ", "two lines and a NUL"),
        ("\u202eevil\u202c \u2066turned\u2069 \u200bhid\u200bden\ufeff", "evil turned hidden"),
        ("\ue000\ud800private", "private"),
        ("\u06a9\u062a\u0627\u0628\u200c\u0647\u0627", "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627"),  # Persian, with its joiner
        ("\u200d\u200c\u200b", ""),
        ("", ""),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # escaped where it is shown
        ("x" * 200, "x" * 99 + "…"),
        ("word " * 50, "word " * 18 + "word word…"),
    ],
)  # fmt: skip
def test_titles(text: str, title: str) -> None:
    assert conversations.title(text) == title
    assert len(title) <= conversations.MAX_TITLE


def test_a_question_of_nothing_that_shows_has_a_title(ours: Party) -> None:
    assert listed_title(ours, "\u200b\u202e") == "…"


def listed_title(party: Party, question: str) -> str:
    said(party.user_client, question)
    title: str = listed(party.user_client)[0]["title"]
    return title
