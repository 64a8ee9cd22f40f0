"""How often each key was used, exact at every moment, without rewriting a busy key's row at every batch of records.

Each batch of records adds one row a key to `Tally`, in the transaction that writes the records: neither is there
without the other. Once a minute the rows are added up into the keys. Whoever reads adds what has not been yet.
"""

from typing import TypeVar

from django.db import connection, transaction
from django.db.models import F, Max, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest

from apikeys.models import APIKey, Tally
from ragsite.lib import row_security

Keys = TypeVar("Keys", bound=QuerySet[APIKey])

# One statement, so that a reader finds each use either here or there. A key that is gone takes its uses along. It
# crosses tenants, and no foreign key holds a tally to its own tenant's keys: one that names another's counts nothing.
_FOLD = """
WITH taken AS (DELETE FROM apikeys_tally RETURNING tenant_id, key_id, requests, used_at),
sums AS (
    SELECT tenant_id, key_id, sum(requests) AS requests, max(used_at) AS used_at FROM taken GROUP BY tenant_id, key_id
)
UPDATE apikeys_apikey AS key
SET usage_count = key.usage_count + sums.requests, last_used_at = GREATEST(key.last_used_at, sums.used_at)
FROM sums WHERE key.id = sums.key_id AND key.tenant_id = sums.tenant_id
"""


def counted(keys: Keys) -> Keys:
    """The keys with `uses` and `used_at`: what `usage_count` and `last_used_at` are at this moment."""
    # Nothing is named by a tenant here: the keys are.
    waiting = Tally.objects.across_tenants().filter(key=OuterRef("pk")).order_by().values("key")
    return keys.annotate(
        uses=F("usage_count") + Coalesce(Subquery(waiting.annotate(sum=Sum("requests")).values("sum")), 0),
        used_at=Greatest("last_used_at", Subquery(waiting.annotate(max=Max("used_at")).values("max"))),
    )


@transaction.atomic
def fold() -> None:
    """Adds the rows up into the keys: one UPDATE a key, however much it was used. Two at once do it once."""
    with row_security.across(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('apikeys_tally', 0))")
        if cursor.fetchone() == (True,):
            cursor.execute(_FOLD)
