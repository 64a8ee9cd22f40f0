"""Whether a tenant is served, as admission hears of it at once.

Postgres holds the truth, `Tenant.active`. Copies of keys in Redis do not know it, so a mark stands beside them for
longer than they live.
"""

from functools import partial
from uuid import UUID

from django.db import transaction
from redis import Redis

from accounts.models import Tenant
from ragsite.lib.announcements import announce

_MARK_SECONDS = 600


def changed(tenant: Tenant) -> None:
    """To be called in the transaction that opens or closes a tenant."""
    transaction.on_commit(partial(_tell, tenant.pk, active=tenant.active))


def _tell(tenant_id: UUID, *, active: bool) -> None:
    name = f"closed:{tenant_id}"

    def tell(client: Redis) -> None:
        if active:
            client.delete(name)
        else:
            client.set(name, "1", ex=_MARK_SECONDS)

    announce(tell)
