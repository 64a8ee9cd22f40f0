"""Conversations: who may see them, what was said in them, and how a message is added to one.

A conversation begins with the first question that is answered, and has that question's id.
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
from queries.answers import Ask, Turn
from queries.checking import citations
from queries.models import Conversation, Query
from ragsite.lib import unseen
from ragsite.lib.errors import NotFound

MAX_TITLE = 100
# How much of a conversation a question is understood by: what was said earlier is hardly ever meant.
MOST_EXCHANGES = 10
MOST_CHARACTERS = 16_000


class Message(Protocol):
    """A row of the history that is about to be written: a `Query` or a `CacheHit`."""

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
    """The conversations that the caller may see and change: all of the tenant's for a business user, else `own`."""
    if caller.key_id is None and caller.is_business:
        return Conversation.objects.for_tenant(caller.tenant_id)
    return own(caller)


def own(caller: Caller) -> TenantQuerySet[Conversation]:
    """The conversations that the caller may ask in: a user's own, or those of a key's line (`keys.line`)."""
    conversations = Conversation.objects.for_tenant(caller.tenant_id)
    if caller.key_id is None:
        return conversations.filter(user=caller.user_id)
    return conversations.filter(key__in=keys.line(caller.tenant_id, caller.key_id).values("pk"))


def in_conversation(caller: Caller, ask: Ask, *, conversation_id: UUID | None, query_id: UUID) -> Ask:
    """The question with what was said before it. Without `conversation_id` it begins a conversation.

    Raises NotFound for a conversation that the caller may not ask in.
    """
    if conversation_id is None:
        return replace(ask, conversation=query_id)
    conversation = own(caller).one(conversation_id)
    return replace(ask, conversation=conversation.pk, turns=turns(conversation, caller))


def turns(conversation: Conversation, caller: Caller) -> tuple[Turn, ...]:
    """The latest answered questions and their answers, oldest first, as far as the caller may still read the sources.

    The answers are without citations, whose numbers would name sources of the next answer.
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
    """The queries whose answers have a source in a collection that the caller may not read.

    A document that is gone counts as being in the collection that it was in. Its removal alone closes nothing: what it
    said was seen.
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
    """Adds a message to its conversation, and returns the conversation's id. Called in the transaction that writes it.

    Returns None where the message is in no conversation, where it failed and would have begun one, and where the
    conversation was deleted meanwhile. The conversation cannot be deleted until the transaction ends.
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
    except IntegrityError:  # the key or user was deleted while the question was being answered
        return None
    return message.id


def title(text: str) -> str:
    """A title for a conversation: the beginning of a text, at most 100 characters on one line."""
    line = one_line(text)
    cut = shorten(line, MAX_TITLE, placeholder="…")  # cuts between words; only "…" if the first is too long
    return cut if cut != "…" else f"{line[: MAX_TITLE - 1]}…"


def one_line(text: str) -> str:
    """A text on one line, without characters that are invisible or change the direction of writing; may be empty."""
    seen = " ".join(unseen.visible(text).split())
    return seen if seen.strip(unseen.JOINERS + " ") else ""


def rename(conversation: Conversation, *, title: str) -> None:
    """Raises NotFound where it was deleted meanwhile."""
    rows = Conversation.objects.for_tenant(conversation.tenant_id).filter(pk=conversation.pk)
    if not rows.update(title=title):
        raise NotFound("There is no such conversation.")
    conversation.title = title


@transaction.atomic
def delete(conversation: Conversation) -> None:
    """Deletes a conversation. Its messages stay in the history, outside any conversation, as do the records of use."""
    tenant_id = conversation.tenant_id
    # Locked first: a message that is being written meanwhile is either there by now, or will find the conversation
    # gone.
    held = Conversation.objects.for_tenant(tenant_id).select_for_update().one(conversation.pk)
    Query.objects.for_tenant(tenant_id).filter(conversation=held.pk).update(conversation=None)
    held.delete()
