"""Making, finding and ending API keys.

A key is `rag_` and 32 hex digits: 128 bits from the system's generator, which is why one SHA-256 without salt
is enough to store (nobody searches 2^128 keys) and lets a key be found by its hash.
"""

import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import transaction
from django.db.models import Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import Tenant, User
from accounts.tenancy import TenantQuerySet
from apikeys import copies
from apikeys.models import APIKey, KeyCollection
from ragsite.lib import audit
from ragsite.lib.errors import Conflict, NotFound

_SHAPE = re.compile(r"rag_[0-9a-f]{32}")
PREFIX_LENGTH = 12  # `rag_` and 8 digits: tells a tenant's keys apart, leaves 96 bits unknown


def generate() -> str:
    return f"rag_{secrets.token_hex(16)}"


def digest(raw: str) -> str:
    return sha256(raw.encode()).hexdigest()


def has_shape(raw: str) -> bool:
    """Whether a string could be a key at all; what could not is refused without asking Redis or Postgres."""
    return _SHAPE.fullmatch(raw) is not None


@transaction.atomic
def mint(
    *,
    tenant: Tenant,
    owner: User | None,
    name: str,
    scopes: Iterable[str],
    collection_ids: Iterable[UUID] | None = None,
    **settings: Any,
) -> tuple[APIKey, str]:
    """A new key and, this once, the key itself. `collection_ids` None: it reads every collection.

    `settings`: networks, rate_limit, burst, monthly_budget_usd, expires_at, rotated_from, line of `APIKey`.
    """
    raw = generate()
    key = APIKey.objects.create(
        tenant=tenant,
        owner=owner,
        name=name,
        key_prefix=raw[:PREFIX_LENGTH],
        key_hash=digest(raw),
        scopes=sorted(set(scopes)),
        restricted=collection_ids is not None,
        **settings,
    )
    rows = [KeyCollection(tenant=tenant, key=key, collection_id=pk) for pk in collection_ids or ()]
    KeyCollection.objects.bulk_create(rows)
    if rows:
        audit.note(key, collections=([], [str(collection) for collection in key.collections.all()]))
    # Somebody may have tried the key before it was made; the note that it is unknown must go.
    transaction.on_commit(lambda: copies.forget(key.key_hash))
    return key, raw


def existing_collections(tenant_id: UUID, wanted: Iterable[UUID] | None) -> list[UUID] | None:
    """The wanted collections' ids, each once; NotFound when one is not the tenant's. None stays None."""
    if wanted is None:
        return None
    ids = sorted(set(wanted))
    # By its name, since the app that it belongs to stands above this one.
    collections = apps.get_model("documents", "Collection").objects.for_tenant(tenant_id)
    if collections.filter(pk__in=ids).count() != len(ids):
        raise NotFound("There is no such collection.")
    return ids


def line(tenant_id: UUID, key_id: UUID) -> TenantQuerySet[Any]:
    """The keys of one client: this one, those that it was rotated from, and those into which."""
    keys = APIKey.objects.for_tenant(tenant_id).annotate(first=Coalesce("line", "pk"))
    return keys.filter(first=Subquery(keys.filter(pk=key_id).values("first")))


def revoke(key: APIKey) -> None:
    """Ends a key for good. Revoking a revoked key changes nothing."""
    with transaction.atomic():
        # Saved rather than updated in place, so that the audit log sees it.
        in_use = APIKey.objects.for_tenant(key.tenant_id).filter(pk=key.pk, revoked_at=None)
        for row in in_use.select_for_update(of=("self",)):
            row.revoked_at = timezone.now()
            row.save(update_fields=["revoked_at"])
        copies.refuse(key.key_hash)
    copies.refuse(key.key_hash)
    key.refresh_from_db(fields=["revoked_at"])


@transaction.atomic
def rotate(key: APIKey, *, overlap: timedelta = timedelta(0)) -> tuple[APIKey, str]:
    """The key's successor with the same rights; the old key works until `overlap` ends."""
    key = APIKey.objects.for_tenant(key.tenant_id).select_for_update(of=("self",)).get(pk=key.pk)
    if not key.is_usable or APIKey.objects.for_tenant(key.tenant_id).filter(rotated_from=key).exists():
        raise Conflict("Only a key in use that has no successor yet can be rotated.", code="not_rotatable")
    successor = _successor(key)
    _end(key, timezone.now() + overlap)
    return successor


def _successor(key: APIKey) -> tuple[APIKey, str]:
    collections = None
    if key.restricted:
        collections = KeyCollection.objects.for_tenant(key.tenant_id).filter(key=key)
    return mint(
        tenant=key.tenant,
        owner=key.owner,
        name=key.name,
        scopes=key.scopes,
        collection_ids=None if collections is None else [row.collection_id for row in collections],
        networks=key.networks,
        rate_limit=key.rate_limit,
        burst=key.burst,
        monthly_budget_usd=key.monthly_budget_usd,
        expires_at=key.expires_at,
        rotated_from=key,
        line=key.first_of_line,
    )


def _end(key: APIKey, moment: datetime) -> None:
    """Lets a key expire at `moment`, or when it would have anyway if that is sooner."""
    key.expires_at = min(filter(None, [key.expires_at, moment]))
    key.save(update_fields=["expires_at"])
    transaction.on_commit(lambda: copies.forget(key.key_hash))
