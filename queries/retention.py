"""Deletes what is kept for a limited time: records of use, history, conversations, feedback, logs, sessions, webhooks.

Whole months are dropped as partitions once no tenant keeps anything of them. Shorter periods are deleted row by row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from auditlog.models import LogEntry
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Tenant
from apikeys.models import IdempotentRequest, Usage
from queries.models import Conversation, Feedback, Query
from ragsite.lib import months, row_security
from ragsite.lib.identifiers import floor
from ragsite.lib.postgres import batches, partitions
from webhooks.models import Delivery

PARTITIONED: Mapping[str, Any] = {"apikeys_usage": Usage, "queries_query": Query}
_MONTH = len("_2030_01")
_LONGEST_DAYS = 36_500  # a century, because Python has no dates before the year 1

logger = structlog.get_logger(__name__)

# The tenants with rows in a table, found by jumping from one to the next along the index that begins with the tenant.
_TENANTS_IN = """
WITH RECURSIVE seen AS (
    (SELECT tenant_id FROM {table} ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM {table} WHERE tenant_id > seen.tenant_id ORDER BY tenant_id LIMIT 1)
    FROM seen WHERE seen.tenant_id IS NOT NULL
)
SELECT tenant_id FROM seen WHERE tenant_id IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted, or would be: months with their number of rows (None: not counted), and other rows by table."""

    months: dict[str, int | None] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def prune(*, dry_run: bool = False) -> Pruned:
    """Deletes what has been kept long enough. Running it twice, or twice at once, does no harm."""
    with row_security.across():
        return _prune(timezone.now(), dry_run=dry_run)


def _prune(now: datetime, *, dry_run: bool) -> Pruned:
    gone = Pruned()
    # Records of a deleted tenant may have arrived after it was deleted. Records are read before tenants: otherwise a
    # tenant that is created in between would seem to be deleted.
    recorded = _tenants_with_records()
    bounds = _bounds(now)
    if bounds:
        oldest = min(bounds.values())
        if not dry_run:  # before the months with the queries that it points at
            _prune_rows(
                gone, Feedback.objects.across_tenants().filter(query_id__lt=floor(oldest)), dry_run=False
            )
        _prune_months(gone, before=oldest, dry_run=dry_run)
    late = dict.fromkeys(recorded - bounds.keys(), now)
    for rows in (
        *_records(bounds, keep_from=months.begin(now)),
        *_records(late, keep_from=now),
        *_expired(now),
    ):
        _prune_rows(gone, rows, dry_run=dry_run)
    for month, count in gone.months.items():
        gone.rows[month[:-_MONTH]] -= count or 0  # a dry run has counted these rows twice
    return gone


def _bounds(now: datetime) -> dict[UUID, datetime]:
    """For each tenant, the moment before which nothing is kept."""
    days = Tenant.objects.values_list("pk", "retention_days")
    return {tenant_id: now - timedelta(days=min(kept, _LONGEST_DAYS)) for tenant_id, kept in days}


def _tenants_with_records() -> set[UUID]:
    found: set[UUID] = set()
    with connection.cursor() as cursor:
        for table in PARTITIONED:
            cursor.execute(_TENANTS_IN.format(table=table))
            found |= {tenant_id for (tenant_id,) in cursor.fetchall()}
    return found


def _prune_months(gone: Pruned, *, before: datetime, dry_run: bool) -> None:
    for table in PARTITIONED:
        for month in partitions.older_than(table, before):
            if dry_run:
                gone.months[month] = partitions.count(month)
                continue
            try:
                partitions.drop(table, month)
            except partitions.Busy:
                logger.warning(
                    "a partition could not be dropped, and is left for the next time", partition=month
                )
            else:
                gone.months[month] = None


def _records(bounds: Mapping[UUID, datetime], *, keep_from: datetime) -> Iterator[QuerySet[Any]]:
    """Rows by their ids, which tell their time; feedback by the id of its query.

    Records of use from `keep_from` on stay in any case: monthly budgets are counted from them.
    """
    for tenant_id, moment in bounds.items():
        yield Usage.objects.for_tenant(tenant_id).filter(pk__lt=floor(min(moment, keep_from)))
        yield Feedback.objects.for_tenant(tenant_id).filter(query_id__lt=floor(moment))
        yield Query.objects.for_tenant(tenant_id).filter(pk__lt=floor(moment))
        # A conversation goes after the last of its messages.
        yield Conversation.objects.for_tenant(tenant_id).filter(latest__lt=floor(moment))


def _expired(now: datetime) -> Iterator[QuerySet[Any]]:
    """What expires for all tenants alike. A new table with a time to live is one more line here."""
    yield LogEntry.objects.filter(timestamp__lt=now - timedelta(days=settings.AUDIT_RETENTION_DAYS))
    yield Session.objects.filter(expire_date__lt=now)
    yield Delivery.objects.across_tenants().filter(
        pk__lt=floor(now - timedelta(days=settings.WEBHOOK_RETENTION_DAYS))
    )
    yield IdempotentRequest.objects.across_tenants().filter(expires_at__lte=now)


def _prune_rows(gone: Pruned, rows: QuerySet[Any], *, dry_run: bool) -> None:
    table = rows.model._meta.db_table  # noqa: SLF001  Django's documented name
    gone.rows[table] = gone.rows.get(table, 0) + (rows.count() if dry_run else batches.delete(rows))
