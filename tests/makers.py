"""Plain functions that make what tests need."""

from dataclasses import dataclass
from typing import Any

from rest_framework.test import APIClient

from accounts.models import Tenant, User
from apikeys import keys
from apikeys.models import APIKey
from documents import ingest as ingesting
from documents import intake
from documents.models import Document
from queries.models import Conversation, Query
from ragsite.lib.identifiers import made_at, uuid7

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Party:
    """A tenant, its two people, and a key with every scope."""

    tenant: Tenant
    business: User
    user: User
    key: APIKey
    raw: str

    @property
    def client(self) -> APIClient:
        return with_key(self.raw)

    @property
    def business_client(self) -> APIClient:
        return signed_in(self.business)

    @property
    def user_client(self) -> APIClient:
        return signed_in(self.user)


def make_party(name: str) -> Party:
    tenant = Tenant.objects.create(name=name.title(), slug=name)
    business = make_user(f"{name}-business", tenant=tenant, role=User.Role.BUSINESS)
    user = make_user(f"{name}-user", tenant=tenant, role=User.Role.USER)
    key, raw = make_key(tenant, owner=business)
    return Party(tenant, business, user, key, raw)


def fresh(tenant: Tenant) -> Tenant:
    """As the database has it by now."""
    return Tenant.objects.get(pk=tenant.pk)


def make_user(username: str, **fields: Any) -> User:
    user = User(username=username, **fields)
    # Hashing a password well takes longer than most tests; only those that sign in pay for it.
    user.set_unusable_password()
    user.save()
    return user


def make_key(tenant: Tenant, *, owner: User | None = None, **settings: Any) -> tuple[APIKey, str]:
    wanted: dict[str, Any] = {"scopes": ["query", "ingest"], "rate_limit": 60_000, "burst": 10_000}
    return keys.mint(tenant=tenant, owner=owner, name="test", **(wanted | settings))


def with_key(raw: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=raw)
    return client


def signed_in(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def make_document(
    tenant: Tenant,
    text: str | bytes,
    *,
    filename: str = "note.txt",
    collection: str = "default",
    **fields: Any,
) -> Document:
    """A stored and queued document."""
    content = text.encode() if isinstance(text, str) else text
    document, _ = intake.store(
        tenant=tenant,
        chunks=[content],
        filename=filename,
        collection=intake.collection_named(tenant, collection),
        **fields,
    )
    return document


def make_conversation(tenant: Tenant, **fields: Any) -> Conversation:
    """A conversation of a key or a user, with the one question that began it."""
    question = fields.pop("question", "Whose?")
    answer = fields.pop("answer", "")
    pk = fields.pop("pk", None) or uuid7()
    whose: dict[str, Any] = {"tenant": tenant, **fields}
    conversation = Conversation.objects.create(id=pk, latest=pk, title=question[:100], **whose)
    Query.objects.create(
        id=pk, conversation=conversation, question=question, answer=answer, status="answered", created_at=made_at(pk), **whose
    )  # fmt: skip
    return conversation


def ingest(tenant: Tenant, text: str | bytes, **fields: Any) -> Document:
    """A document that the worker's own code has processed, in this process."""
    document = make_document(tenant, text, **fields)
    ingesting.process_now(document.pk)
    document.refresh_from_db()
    return document
