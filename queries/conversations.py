"""Conversations: whose they are, what was said in them, and how a message enters one.

A conversation begins with its first answer, and has that question's id: a question that failed begins none.
"""

from dataclasses import replace
from itertools import accumulate, takewhile
from textwrap import shorten
from typing import Protocol
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from accounts.tenancy import TenantQuerySet
from apikeys import keys
from apikeys.callers import Caller
from documents.models import Collection, Document
from queries import citations
from queries.answers import Ask, Turn
from queries.models import Conversation, Query
from ragsite.lib import unseen
from ragsite.lib.errors import NotFound

MAX_TITLE = 100
# How far a conversation reaches back into the next answer: what was said before that is hardly meant any more.
MOST_EXCHANGES = 10
MOST_CHARACTERS = 16_000


class Message(Protocol):
    """A row of history that is about to be written."""

    @property
    def id(self) -> UUID: ...
    @property
    def tenant_id(self) -> UUID: ...
    @property
    def key_id(self) -> UUID | None: ...
    @property
    def user_id(self) -> UUID | None: ...
    @property
    def question(self) -> str: ...
    @property
    def conversation_id(self) -> UUID | None: ...


def visible(caller: Caller) -> TenantQuerySet[Conversation]:
    """Whoever may see the tenant's history sees, renames and deletes its conversations; others do so with their own."""
    if caller.key_id is None and caller.is_business:
        return Conversation.objects.for_tenant(caller.tenant_id)
    return own(caller)


def own(caller: Caller) -> TenantQuerySet[Conversation]:
    """Those that the caller may ask in: a person's own, or those of a key and of the keys in its line."""
    conversations = Conversation.objects.for_tenant(caller.tenant_id)
    if caller.key_id is None:
        return conversations.filter(user=caller.user_id)
    return conversations.filter(key__in=keys.line(caller.tenant_id, caller.key_id).values("pk"))


def asked(caller: Caller, ask: Ask, *, conversation_id: UUID | None, query_id: UUID) -> Ask:
    """The question with what was said before it; without a conversation it begins one. NotFound for one of others."""
    if conversation_id is None:
        return replace(ask, conversation=query_id)
    conversation = own(caller).one(conversation_id)
    return replace(ask, conversation=conversation.pk, turns=turns(conversation, caller))


def turns(conversation: Conversation, caller: Caller) -> tuple[Turn, ...]:
    """The latest questions that were answered, with their answers, oldest first, as far as the caller may still read
    what the answers were made of.

    Without the answers' citations: their numbers would name sources of the next answer.
    """
    answered = messages(conversation).exclude(status=Query.Status.FAILED).order_by("-id")
    latest = list(answered.values_list("pk", "question", "answer")[:MOST_EXCHANGES])
    closed = _closed(caller, messages(conversation).filter(pk__in=[pk for pk, *_ in latest]))
    exchanges = [
        (question, citations.keep_given(answer, frozenset()))
        for pk, question, answer in latest
        if pk not in closed
    ]
    lengths = accumulate(len(question) + len(answer) for question, answer in exchanges)
    kept = len(list(takewhile(lambda length: length <= MOST_CHARACTERS, lengths)))
    return tuple(
        turn
        for question, answer in reversed(exchanges[:kept])
        for turn in (Turn("user", question), Turn("assistant", answer))
    )


def _closed(caller: Caller, answered: TenantQuerySet[Query]) -> set[UUID]:
    """Those of the answers that have a source in a collection that is closed to the caller, now or when it was deleted.

    A document that is gone closes nothing by itself: what it said was seen.
    """
    if caller.collections is None:
        return set()
    sources = [(pk, source) for pk, cited in answered.values_list("pk", "sources") for source in cited]
    documents = Document.objects.for_tenant(caller.tenant_id)
    there = documents.filter(pk__in={source["document_id"] for _, source in sources})
    within = {str(pk): name for pk, name in there.values_list("pk", "collection__name")}
    collections = Collection.objects.for_tenant(caller.tenant_id).filter(pk__in=caller.collections)
    open_to_them = set(collections.values_list("name", flat=True))
    return {
        pk
        for pk, source in sources
        if within.get(source["document_id"], source["collection"]) not in open_to_them
    }


def messages(conversation: Conversation) -> TenantQuerySet[Query]:
    rows = Query.objects.for_tenant(conversation.tenant_id).filter(conversation=conversation.pk)
    return rows.select_related("feedback")


def enter(message: Message, *, answered: bool) -> UUID | None:
    """The conversation that a message stands in, to be called in the transaction that writes it.

    None where it is in none, where it has failed to begin one, and where the conversation was deleted meanwhile. Holds
    the conversation until the transaction ends, so that nobody deletes it in between.
    """
    if message.conversation_id is None:
        return None
    if message.conversation_id == message.id:
        return _begun(message) if answered else None
    found = Conversation.objects.for_tenant(message.tenant_id).filter(pk=message.conversation_id)
    return message.conversation_id if found.update(latest=Greatest(F("latest"), message.id)) else None


def _begun(message: Message) -> UUID | None:
    row = Conversation(
        id=message.id,
        tenant_id=message.tenant_id,
        key_id=message.key_id,
        user_id=message.user_id,
        title=title(message.question) or "…",
        latest=message.id,
    )
    try:
        with transaction.atomic():
            Conversation.objects.for_tenant(message.tenant_id).bulk_create([row], ignore_conflicts=True)
            connection.check_constraints()
    except IntegrityError:  # whoever asks was deleted while it was being answered
        return None
    return message.id


def title(text: str) -> str:
    """What a conversation may be called: at most 100 characters of a text, on one line."""
    line = plain(text)
    cut = shorten(line, MAX_TITLE, placeholder="…")  # between words, of which the first may be too long
    return cut if cut != "…" else f"{line[: MAX_TITLE - 1]}…"


def plain(text: str) -> str:
    """A text on one line, without what hides or turns the characters around it; empty where nothing else is in it."""
    seen = " ".join(unseen.visible(text).split())
    return seen if seen.strip(unseen.JOINERS + " ") else ""


def rename(conversation: Conversation, *, title: str) -> None:
    """NotFound where it was deleted in the meantime."""
    rows = Conversation.objects.for_tenant(conversation.tenant_id).filter(pk=conversation.pk)
    if not rows.update(title=title):
        raise NotFound("There is no such conversation.")
    conversation.title = title


@transaction.atomic
def delete(conversation: Conversation) -> None:
    """Its messages stay in the history, as records of use do, and are in no conversation any more."""
    tenant_id = conversation.tenant_id
    # Held first: a message that is being written into it is either there by then, or finds that it is no more.
    held = Conversation.objects.for_tenant(tenant_id).select_for_update().one(conversation.pk)
    Query.objects.for_tenant(tenant_id).filter(conversation=held.pk).update(conversation=None)
    held.delete()
