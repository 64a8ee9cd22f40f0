"""What answers do to budgets, in a word."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts import standing
from apikeys import admission, tabs, usage
from apikeys.callers import Caller
from apikeys.models import APIKey
from apikeys.purses import CallersPurse
from apikeys.spending import Spent
from apikeys.usage import Entry
from ragsite.lib import months, redis_client
from ragsite.lib.identifiers import uuid7
from ragsite.lib.money import dollars
from tests.apikeys.admitting import HERE
from tests.makers import Party
from tests.outages import redis_waited_for

ASKS = replace(HERE, asks=True)


@contextmanager
def nothing_open() -> Iterator[None]:
    """No reservation of another test, no bucket, and a Redis that may take its time."""
    admission.buckets.forget()
    with redis_waited_for():
        yield
    tabs._open.clear()
    usage._stale.clear()


def caller(party: Party, key: APIKey | None = None) -> Caller:
    return Caller(tenant_id=party.tenant.pk, key_id=(key or party.key).pk)


def limit(party: Party, dollars: str) -> None:
    party.tenant.monthly_budget_usd = Decimal(dollars)
    party.tenant.save()
    standing._tell(party.tenant.pk)


def used(party: Party, cost: str, **fields: Any) -> Entry:
    wanted: dict[str, Any] = {"id": uuid7(), "tenant_id": party.tenant.pk, "endpoint": "/api/query", "method": "POST",
                              "status": 200, "milliseconds": 5.0, "key_id": party.key.pk}  # fmt: skip
    return Entry(**(wanted | fields), spent=Spent(cost_usd=Decimal(cost)))


def answer(party: Party, *, most: str, cost: str, key: APIKey | None = None) -> None:
    """What an answer does to budgets, from its reservation to its record."""
    entry = used(party, "0", key_id=(key or party.key).pk)
    purse = CallersPurse(caller(party, key), entry.id)
    purse.reserve(Decimal(most))
    purse.take(Spent(cost_usd=Decimal(cost)))
    usage.record(entry)


def counter(account: UUID) -> Decimal | None:
    found: Any = redis_client.client().get(f"spent:{account}:{months.name(timezone.now())}")
    return None if found is None else dollars(int(found))


def held(account: UUID) -> int:
    number: Any = redis_client.client().zcard(f"held:{account}")
    return int(number)
