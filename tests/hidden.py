"""Things that a caller must not learn of: another tenant's, or those of a collection that his key may not read."""

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from apikeys import idempotency, usage
from apikeys.callers import Caller
from apikeys.idempotency import Kept
from apikeys.models import APIKey
from apikeys.spending import Spent
from apikeys.usage import Entry
from documents.models import Document
from queries.models import (
    Conversation,
    EvaluationQuestion,
    EvaluationResult,
    EvaluationRun,
    EvaluationSet,
    Feedback,
    Query,
)
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, ingest, make_conversation
from tests.webhooks.making import make_webhook
from webhooks.models import Endpoint

TEXT = "The orchard password of the quarry is marmalade."
COLLECTION, ABSENT_COLLECTION = "strongroom", "strongrxxm"
MARK, ABSENT_MARK = "quarryman", "quarrymxn"
# An Idempotency-Key that was used for everything which takes one.
RETRY, ABSENT_RETRY = "retry-of-the-foreman", "retry-of-the-forexxx"
# Of a question that did not get as far as the search.
TRACE: dict[str, Any] = {"v": 1, "asked": {}, "rights": None, "settings": {}}
DAY, ABSENT_DAY = "2011-11-11", "2011-11-12"  # on which it came
# Words that stand nowhere but in what is hidden.
WORDS = ("marmalade", "orchard", COLLECTION, MARK, "dossier.txt", RETRY)


# By what they are: values that lead to what is hidden, and others that lead nowhere.
_WRITTEN: dict[str, tuple[Any, Any]] = {
    "name": (COLLECTION, ABSENT_COLLECTION),
    "model": (f"ragsite/{COLLECTION}", f"ragsite/{ABSENT_COLLECTION}"),
    "metadata": ({"of": MARK}, {"of": ABSENT_MARK}),
    "compared": ({"of": {"$in": [MARK]}}, {"of": {"$in": [ABSENT_MARK]}}),
    "day": ({"$between": [DAY, DAY]}, {"$between": [ABSENT_DAY, ABSENT_DAY]}),
    "retry": (RETRY, ABSENT_RETRY),
    "bytes": (TEXT, TEXT.replace("marmalade", "marmalxde")),
}


@dataclass(frozen=True)
class Hidden:
    document: Document
    key: APIKey
    query: Query
    webhook: Endpoint
    conversation: Conversation
    asked: EvaluationSet
    run: EvaluationRun

    def values(self, kind: str) -> tuple[Any, Any]:
        """A value of this kind that leads to what is hidden, and one that leads nowhere."""
        if kind in _WRITTEN:
            return _WRITTEN[kind]
        match kind:
            case "collection":
                return str(self.document.collection_id), str(uuid4())
            case "csv":
                return _csv(str(self.document.pk)), _csv(str(uuid4()))
            case "cursor":
                return cursor(self.query.pk), cursor(UUID(int=self.query.pk.int + 1))
        return str(getattr(self, kind).pk), str(uuid4())

    @property
    def tenant_id(self) -> UUID:
        return self.document.tenant_id

    def words(self) -> set[str]:
        return {*WORDS, *(str(row.pk) for row in _rows(self))}


def _rows(secret: Hidden) -> tuple[Any, ...]:
    return (
        secret.document,
        secret.key,
        secret.query,
        secret.webhook,
        secret.conversation,
        secret.asked,
        secret.run,
    )


def _csv(document: str) -> str:
    """A set of one question that expects a document."""
    return f"question,document\nWhy?,{document}"


def cursor(position: UUID) -> str:
    """A page of a list that begins after this row."""
    return b64encode(f"p={position}".encode()).decode()


def hide(party: Party, *, collection: str = COLLECTION) -> Hidden:
    """A row of everything that a tenant owns."""
    webhook, _ = make_webhook(
        party, f"https://{MARK}.example/", description=MARK
    )  # first, to be told of the document
    conversation = make_conversation(
        party.tenant, key=party.key, question=f"When is the {MARK} there?", answer=TEXT
    )
    document = ingest(
        party.tenant, TEXT, collection=collection, filename="dossier.txt", metadata={"of": MARK}
    )
    asked, run = evaluate(party, document)
    moment = datetime.fromisoformat(f"{DAY}T11:11:11Z")
    Document.objects.filter(pk=document.pk).update(created_at=moment, ready_at=moment)
    query = ask(party, f"Where is the {MARK}?", answer=TEXT)
    Feedback.objects.for_tenant(party.tenant).create(
        tenant=party.tenant, query=query, rating="up", comment=MARK
    )
    for endpoint in ("/api/query", "/api/chat", "/api/documents"):
        keep_answer(party, endpoint)
    spent = Spent(prompt_tokens=77, completion_tokens=77)
    usage.write(
        [Entry(uuid7(), party.tenant.pk, "/api/query", "POST", 200, 7.7, key_id=party.key.pk, spent=spent)]
    )
    return Hidden(document, party.key, query, webhook, conversation, asked, run)


def evaluate(party: Party, document: Document) -> tuple[EvaluationSet, EvaluationRun]:
    """A set of one question, and a run with its result."""
    asked = EvaluationSet.objects.create(tenant=party.tenant, name=f"{MARK}'s")
    expected = [{"document_id": str(document.pk), "filename": document.filename, "page": None}]
    question = EvaluationQuestion.objects.create(
        tenant=party.tenant, set=asked, ordinal=1, question=f"Where is the {MARK}?", expected=expected
    )
    run = EvaluationRun.objects.create(tenant=party.tenant, set=asked, name=MARK)
    EvaluationResult.objects.create(
        tenant=party.tenant, run=run, question=question, status="answered", answer=TEXT, milliseconds=7
    )
    return asked, run


def ask(party: Party, question: str, *, answer: str = "") -> Query:
    """A row of history."""
    return Query.objects.for_tenant(party.tenant).create(
        id=uuid7(), tenant=party.tenant, question=question, answer=answer, created_at=timezone.now(),
        key=party.key, user=party.user, status=Query.Status.ANSWERED, response_time_ms=1, trace=TRACE,
    )  # fmt: skip


def keep_answer(party: Party, endpoint: str) -> None:
    """An answer that is kept for retries, of the party's key."""
    caller = Caller(tenant_id=party.tenant.pk, key_id=party.key.pk)
    sent = idempotency.sent(caller, endpoint=endpoint, key=RETRY, body={"question": TEXT}, claim=uuid7())
    assert idempotency.begin(sent) is None
    idempotency.keep(sent, Kept(200, "application/json", {}, json.dumps({"answer": TEXT}).encode()))


# What an answer shows ----------------------------------------------------------------------------------------

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# What differs between any two answers, and tells nothing. An empty page's `previous` has the cursor that was sent.
_OWN = {
    "id",
    "request_id",
    "conversation_id",
    "created_at",
    "created",
    "updated_at",
    "timings_ms",
    "response_time_ms",
    "sha256",
    "previous",
}
_HEADERS = {"X-Request-ID", "RateLimit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Content-Length"}


def shown(answer: Any, *, sent: object = None) -> tuple[Any, ...]:
    """Status, headers and body, without what differs between any two answers, and without the value that was sent."""
    text = _text(answer, sent)
    headers = {name: _ID.sub("…", value) for name, value in answer.headers.items() if name not in _HEADERS}
    body = _without_own(json.loads(text)) if "json" in answer.headers.get("Content-Type", "") else text
    return answer.status_code, headers, body


def words_in(answer: Any, secret: Hidden, *, sent: object = None) -> list[str]:
    """Words of the hidden that an answer holds and the request did not."""
    text = _text(answer, sent) + str(answer.headers)
    return [word for word in secret.words() if word in text]


def _text(answer: Any, sent: object) -> str:
    text: str = answer.content.decode()
    for word in sorted(_strings(sent), key=len, reverse=True):
        text = text.replace(word, "…")
    return text


def _without_own(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_own(inner) for name, inner in value.items() if name not in _OWN}
        case list():
            return [_without_own(inner) for inner in value]
    return value


def _strings(value: object) -> Iterable[str]:
    match value:
        case str():
            yield value
            yield from value.split(",")[1:]  # a cell that a refusal may quote
        case dict() | list():
            for inner in value.values() if isinstance(value, dict) else value:
                yield from _strings(inner)


# What stands in the tables -----------------------------------------------------------------------------------


def rows_of(tenant_id: UUID) -> dict[str, str]:
    """A digest of all rows that the tenant owns, by table; asked as somebody whom no row-level security holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE attname = 'tenant_id' AND relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        tables = [name for (name,) in cursor.fetchall()]
        return {table: _digest(cursor, table, tenant_id) for table in tables}


def _digest(cursor: Any, table: str, tenant_id: UUID) -> str:
    cursor.execute(
        f"SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '')"  # noqa: S608  its name is the catalogue's
        f" FROM {table} AS t WHERE tenant_id = %s",
        [tenant_id],
    )
    return str(cursor.fetchone()[0])
