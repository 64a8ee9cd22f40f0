"""Totals over the record of use."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Aggregate, Count, FloatField, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncDate
from django.utils import timezone

from apikeys.budgets import Account
from apikeys.models import APIKey, Usage
from apikeys.usage import FIRST_ERROR
from ragsite.lib.identifiers import floor

TOO_MANY = 429


class Percentile(Aggregate):
    """`percentile_cont`, to a tenth: between two records it interpolates."""

    function = "percentile_cont"
    template = "round((%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s))::numeric, 1)"
    output_field = FloatField()

    def __init__(self, expression: str, *, fraction: float) -> None:
        super().__init__(expression, fraction=fraction)


def _totals() -> dict[str, Any]:
    return {
        "requests": Count("pk"),
        # By the status: a total named like a field hides that field from the totals after it.
        "success": Count("pk", filter=Q(status__lt=FIRST_ERROR)),
        "errors": Count("pk", filter=Q(status__gte=FIRST_ERROR)),
        "limited": Count("pk", filter=Q(status=TOO_MANY)),
        "from_cache": Count("pk", filter=Q(from_cache=True)),
        "prompt_tokens": Coalesce(Sum("prompt_tokens"), 0),
        "completion_tokens": Coalesce(Sum("completion_tokens"), 0),
        "cost_usd": Coalesce(Sum("cost_usd"), 0, output_field=FloatField()),
        "p50_ms": Percentile("milliseconds", fraction=0.5),
        "p95_ms": Percentile("milliseconds", fraction=0.95),
    }


def of_key(key: APIKey, *, days: int) -> dict[str, Any]:
    """A key's use together with that of the keys it was rotated from and into: one line of keys is one client."""
    line = Account(key.tenant_id, key.first_of_line).keys()
    rows = _since(key.tenant_id, days).filter(key__in=line)
    return _with_days(rows)


def of_tenant(tenant_id: UUID, *, days: int) -> dict[str, Any]:
    rows: Any = _since(tenant_id, days)
    return {
        **_with_days(rows),
        "endpoints": list(rows.values("endpoint").annotate(**_totals()).order_by("-requests", "endpoint")),
        "keys": list(rows.values("key_id").annotate(**_totals()).order_by("-requests", "key_id")),
    }


def _since(tenant_id: UUID, days: int) -> QuerySet[Usage]:
    """By the id, which holds the time: Postgres then opens only the months that count."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    first: datetime = today - timedelta(days=days - 1)
    return Usage.objects.for_tenant(tenant_id).filter(pk__gte=floor(first)).order_by()


def _with_days(rows: QuerySet[Usage]) -> dict[str, Any]:
    totals: Mapping[str, Any] = rows.aggregate(**_totals())
    by_day = rows.annotate(date=TruncDate("created_at")).values("date").annotate(**_totals()).order_by("date")
    return {**totals, "days": list(by_day)}
