"""The version of a tenant's corpus, raised by every change of it, so that cached answers end exactly then.

Postgres holds the truth. Redis holds a copy, `corpus:{tenant}`, with two fields that only ever grow: `version`,
which was committed, and `pending`, which is about to be. While `pending` is the greater nobody can know which one
is true, and nothing is cached or served from the cache. The copy lives for a minute: that bounds how long a
change is missed when a process dies between its commit and the news of it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from redis import Redis

from accounts.models import Tenant
from ragsite.lib import redis_client
from ragsite.lib.announcements import announce

_LIFETIME_SECONDS = 60

# Raises one field to a value, never lowers it. KEYS: the copy. ARGV: field, value, seconds to live.
_RAISE = redis_client.Script("""
local old = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or -1)
if tonumber(ARGV[2]) > old then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3]) -- a look alone must not keep what an interrupted change left
end
return redis.call('HMGET', KEYS[1], 'version', 'pending')
""")


def changed(tenant_id: UUID) -> None:
    """Raises the version. Call it last in the transaction that changes the corpus.

    The tenant's row stays locked until the commit, so versions are announced in the order of their commits.
    """
    Tenant.objects.filter(pk=tenant_id).update(corpus_version=F("corpus_version") + 1)
    version = Tenant.objects.values_list("corpus_version", flat=True).get(pk=tenant_id)
    announce(partial(_raise, tenant_id, "pending", version))
    transaction.on_commit(partial(announce, partial(_raise, tenant_id, "version", version)))


def all_changed() -> None:
    """As `changed`, for every tenant at once: what answers are found with is not what it was."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_tenant SET corpus_version = corpus_version + 1 RETURNING id, corpus_version"
        )
        versions = cursor.fetchall()
    announce(partial(_raise_all, versions, "pending"))
    transaction.on_commit(partial(announce, partial(_raise_all, versions, "version")))


@transaction.atomic
def bump(tenant_id: UUID) -> None:
    """Raises the version by itself: the tenant's settings changed, or its answers are to be forgotten."""
    changed(tenant_id)


def version(tenant_id: UUID) -> int | None:
    """The committed version; None while a change is under way, Redis is down or the tenant is gone: no cache then."""
    committed = Tenant.objects.values_list("corpus_version", flat=True).filter(pk=tenant_id).first()
    if committed is None:
        return None
    seen = redis_client.attempted(partial(_raise, tenant_id, "version", committed))
    if seen is None or seen[1] > seen[0]:
        return None
    return seen[0]


def copy(tenant_id: UUID) -> str:
    """The copy's name in Redis."""
    return f"corpus:{tenant_id}"


def _raise_all(versions: Sequence[tuple[UUID, int]], field: str, client: Redis) -> None:
    for tenant_id, version in versions:
        _raise(tenant_id, field, version, client)


def _raise(tenant_id: UUID, field: str, value: int, client: Redis) -> tuple[int, int]:
    """The copy's (version, pending) after raising `field`."""
    fields: Any = _RAISE(client, keys=[copy(tenant_id)], arguments=[field, value, _LIFETIME_SECONDS])
    committed, pending = (int(number or 0) for number in fields)
    return committed, pending
