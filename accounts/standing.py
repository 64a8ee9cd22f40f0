"""Whether a tenant is served and what it may spend, as admission hears of it at once.

Postgres holds the truth, `Tenant.active` and `Tenant.monthly_budget_usd`. Copies of keys in Redis do not know of a
change, so it stands beside them for longer than they live.
"""

from functools import partial
from uuid import UUID

from django.db import transaction
from redis import Redis

from accounts.models import Tenant
from ragsite.lib.announcements import announce
from ragsite.lib.money import micro

_MARK_SECONDS = 600


def changed(tenant: Tenant) -> None:
    """To be called in the transaction that opens or closes a tenant, or changes its budget."""
    transaction.on_commit(partial(_tell, tenant.pk))


@transaction.atomic
def _tell(tenant_id: UUID) -> None:
    """Tells what is committed, while nobody can change it: of two who tell, the later one is right.

    Without Redis it follows when Redis is back: its copies may still be there then.
    """
    tenant = Tenant.objects.select_for_update().filter(pk=tenant_id).first()
    if tenant is None:
        return
    closed, budget = f"closed:{tenant_id}", tenant.monthly_budget_usd

    def tell(client: Redis) -> None:
        with client.pipeline() as pipeline:
            if tenant.active:
                pipeline.delete(closed)
            else:
                pipeline.set(closed, "1", ex=_MARK_SECONDS)
            pipeline.set(f"budget:{tenant_id}", "" if budget is None else micro(budget), ex=_MARK_SECONDS)
            pipeline.execute()

    announce(tell)
