"""Deleting many rows beside people who are at work."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet

BATCH = 5_000


def delete(rows: QuerySet[Any]) -> int:
    """Deletes rows, some at a time, each time in a transaction of its own; returns how many.

    Nothing stays locked for long, and nobody is waited for: a row that somebody has locked is left for the next time.
    No signal is sent, and nothing is deleted that points at the rows.
    """
    deleted = 0
    while True:
        with transaction.atomic(using=rows.db):
            taken = rows.order_by("pk").select_for_update(skip_locked=True)
            ids = list(taken.values_list("pk", flat=True)[:BATCH])
            every = rows.model._base_manager.using(rows.db)  # noqa: SLF001  Django's documented name
            every.filter(pk__in=ids)._raw_delete(using=rows.db)  # noqa: SLF001  `delete` would load what cascades
        deleted += len(ids)
        if len(ids) < BATCH:
            return deleted
