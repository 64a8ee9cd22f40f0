"""Deletes a tenant with everything that belongs to it.

The tenant's row is deleted last, so that a removal that was interrupted can be run again.
"""

import re
from collections.abc import Iterator
from time import sleep
from typing import Any
from uuid import UUID

from auditlog.models import LogEntry
from django.contrib.admin.models import LogEntry as AdminLogEntry
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import QuerySet
from redis import Redis

from accounts import standing
from accounts.models import Tenant, User
from apikeys import usage
from apikeys.models import APIKey, Tally, Usage
from documents import files, indexing
from documents.models import Collection
from queries import recording
from queries.models import Conversation, Feedback, Query
from ragsite.lib import audit, redis_client, row_security
from ragsite.lib.errors import Conflict
from ragsite.lib.postgres import batches

# Without a foreign key to the tenant in the database, so that no cascade deletes their rows.
LOOSE: tuple[Any, ...] = (Tally, Usage, Query)
_PAGE = 1_000
_SWEEPS, _BETWEEN_SWEEPS_SECONDS = 5, 0.5
# The identifiers in Redis keys: ids, and the hashes of API keys.
_IDENTIFIER = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def remove(tenant: Tenant) -> None:
    """Raises Conflict for an active tenant, and one of `redis_client.DOWN` before anything is deleted."""
    with row_security.across():  # sessions of users without a tenant are read too
        _remove(tenant)


def _remove(tenant: Tenant) -> None:
    tenant = Tenant.objects.get(pk=tenant.pk)  # as it is now
    if tenant.active:
        raise Conflict("The tenant is active. Make it inactive first, so that nothing comes in any more.")
    with transaction.atomic():
        standing.changed(tenant)  # however it was made inactive
    tenant_id, names = tenant.pk, _names(tenant)  # Django takes the id off a row that it deletes
    redis_client.guarded(lambda client: _sweep(client, tenant_id, names))
    for rows in (*_loose(tenant_id), *_log_entries(tenant_id, names)):
        batches.delete(rows)
    _end_sessions(names)
    with transaction.atomic():
        _lift_statement_timeout()
        indexing.erase(tenant)
    files.discard_all(tenant_id)
    _delete(tenant)
    # Requests that were under way may have left rows since; `manage.py prune` finds what comes later still.
    _sweep_again(tenant_id, names)
    for rows in _loose(tenant_id):
        batches.delete(rows)


def _sweep_again(tenant_id: UUID, names: frozenset[str]) -> None:
    """Deletes what requests that were under way have left. Gives up on a Redis that stays away: all of it expires."""
    for _ in range(_SWEEPS):
        try:
            redis_client.guarded(lambda client: _sweep(client, tenant_id, names))
        except redis_client.DOWN:
            sleep(_BETWEEN_SWEEPS_SECONDS)
        else:
            return


def _names(tenant: Tenant) -> frozenset[str]:
    """The ids of the tenant, its users, keys and collections, and the hashes of its keys."""
    keys = APIKey.objects.for_tenant(tenant)
    found = {str(tenant.pk), *keys.values_list("key_hash", flat=True)}
    for rows in (keys, User.objects.filter(tenant=tenant), Collection.objects.for_tenant(tenant)):
        found |= {str(pk) for pk in rows.values_list("pk", flat=True)}
    return frozenset(found)


def _loose(tenant_id: UUID) -> Iterator[QuerySet[Any]]:
    yield Feedback.objects.for_tenant(tenant_id)  # before the queries that it points at
    for model in LOOSE:
        yield model.objects.for_tenant(tenant_id)
    yield Conversation.objects.for_tenant(tenant_id)  # there may be too many for a cascade


def _log_entries(tenant_id: UUID, names: frozenset[str]) -> Iterator[QuerySet[Any]]:
    """The entries of the audit log and of the admin's log that name its rows."""
    yield LogEntry.objects.filter(additional_data__tenant=str(tenant_id))
    yield AdminLogEntry.objects.filter(object_id__in=names)


def _end_sessions(names: frozenset[str]) -> None:
    """Ends the users' sessions. All have to be decoded, since a session's user is inside it."""
    for session in Session.objects.iterator(_PAGE):
        if session.get_decoded().get(SESSION_KEY) in names:
            session.delete()


@transaction.atomic
def _delete(tenant: Tenant) -> None:
    """Deletes the tenant, and by cascade what is left. One entry of the audit log tells of it, without an id."""
    _lift_statement_timeout()
    with audit.unlogged():
        tenant.delete()
    audit.note_removal(Tenant, name=tenant.slug)


def _lift_statement_timeout() -> None:
    """A large tenant takes longer than a request may."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', '0', true)")


def _sweep(client: Redis, tenant_id: UUID, names: frozenset[str]) -> None:
    """Deletes records on the stream, and every Redis key with one of `names` in it: answers, copies, marks, buckets."""
    for entry_id in _on_stream(client, tenant_id):
        client.xack(usage.STREAM, recording.GROUP, entry_id)
        client.xdel(usage.STREAM, entry_id)
    for name in client.scan_iter(count=_PAGE):
        if names.intersection(_IDENTIFIER.findall(name.decode(errors="replace"))):
            client.unlink(name)


def _on_stream(client: Redis, tenant_id: UUID) -> list[bytes]:
    tenant = str(tenant_id).encode()
    return [entry_id for entry_id, fields in usage.on_stream(client) if fields.get(b"tenant") == tenant]
