"""The counters of budgets: true to the month and to the records, whatever becomes of Redis."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from apikeys import admission, budgets, tabs, usage
from apikeys.callers import Caller
from apikeys.purses import CallersPurse
from apikeys.spending import Spent
from ragsite.lib import months, redis_client
from ragsite.lib.errors import BudgetSpent
from ragsite.lib.identifiers import floor
from ragsite.lib.redis_client import Script
from tests.apikeys.admitting import admit
from tests.apikeys.budgeting import ASKS, answer, caller, counter, limit, nothing_open, used
from tests.makers import Party, make_key
from tests.outages import redis_of_its_own, redis_refused


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    with nothing_open():
        yield


# Months -------------------------------------------------------------------------------------------------------


def test_redis_knows_the_calendar() -> None:
    moments = [datetime(year, month, 1, tzinfo=UTC) for year in (1970, 1999, 2000, 2026, 2028, 2100) for month in range(1, 13)]  # fmt: skip
    seconds = [int(moment.timestamp()) + off for moment in moments for off in (-1, 0, 86_400 * 27) if moment.timestamp() + off >= 0]  # fmt: skip
    script = f"{budgets.MONTH} local all = {{}} for _, s in ipairs(ARGV) do table.insert(all, month_of(s)) end return all"  # fmt: skip
    told: Any = redis_client.client().eval(script, 0, *seconds)
    assert [name.decode() for name in told] == [
        months.name(datetime.fromtimestamp(second, tz=UTC)) for second in seconds
    ]


def test_a_month_by_its_name_and_its_bounds() -> None:
    moment = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert months.of(months.name(moment)) == months.begin(moment) == datetime(2026, 12, 1, tzinfo=UTC)
    assert months.begin(moment, ahead=1) == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_new_month_begins_anew_by_the_clock_of_redis(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(ours, "1")
    this, then = months.begin(timezone.now()), months.begin(timezone.now(), ahead=1)
    usage.write([used(ours, "1", id=UUID(int=floor(this).int | 1))])
    assert admit(ours.raw, ASKS).exhausted == "tenant"
    now = "redis.call('TIME')"
    for seconds, spent in ((then.timestamp() - 1, "tenant"), (then.timestamp(), "")):
        monkeypatch.setattr(
            admission, "_ADMIT", Script(admission._ADMIT.text.replace(now, f"{{'{int(seconds)}', '999'}}"))
        )
        assert admit(ours.raw, ASKS).exhausted == spent
        now = f"{{'{int(seconds)}', '999'}}"


def test_a_cost_counts_in_the_month_of_its_request(ours: Party) -> None:
    limit(ours, "1")
    this = months.begin(timezone.now())
    before = used(ours, "0", id=UUID(int=floor(this - timedelta(milliseconds=1)).int | 1))
    admit(ours.raw, ASKS)
    purse = CallersPurse(caller(ours), before.id)
    purse.reserve(Decimal(1))
    purse.take(Spent(cost_usd=Decimal(1)))
    usage.record(before)
    assert counter(ours.tenant.pk) == 0
    assert admit(ours.raw, ASKS).exhausted == ""


# Counters are made of records ---------------------------------------------------------------------------------


def test_a_lost_counter_is_made_anew_of_rows_and_of_records_on_their_way(
    ours: Party, theirs: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_PAGE", 2)
    key, raw = make_key(ours.tenant, monthly_budget_usd=Decimal(1))
    last = UUID(int=floor(months.begin(timezone.now()) - timedelta(milliseconds=1)).int | 1)
    usage.write(
        [used(ours, "0.1"), used(ours, "0.2", key_id=key.pk), used(ours, "9", id=last), used(theirs, "9")]
    )
    both = used(ours, "0.4", key_id=key.pk)
    usage.write([both])  # written, and not yet acknowledged
    for entry in (both, used(ours, "0.02"), used(ours, "0"), used(theirs, "9"), used(ours, "9", id=last)):
        usage.record(entry)
    redis_client.client().xadd(usage.STREAM, {"tenant": str(ours.tenant.pk), "cost_usd": "no record"})
    limit(ours, "1")
    admit(raw, ASKS)
    assert (counter(ours.tenant.pk), counter(key.pk)) == (Decimal("0.72"), Decimal("0.6"))
    redis_client.client().flushdb()
    budgets.check(Caller(tenant_id=ours.tenant.pk))
    assert counter(ours.tenant.pk) == Decimal("0.7")  # what was on the stream alone is lost with it


def test_a_cost_that_is_settled_during_the_count_is_not_missed(
    ours: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(ours, "1")
    summed, late = budgets.spent, iter([True])

    def slowly(*arguments: Any, **named: Any) -> Decimal:
        total = summed(*arguments, **named)
        if next(late, False):
            answer_without_counter("0.25")
        return total

    def answer_without_counter(cost: str) -> None:
        entry = used(ours, "0")
        tab = tabs.of(entry.id)
        tab.accounts = (ours.tenant.pk,)
        tab.taken.append(Spent(cost_usd=Decimal(cost)))
        usage.record(entry)

    monkeypatch.setattr(budgets, "spent", slowly)
    admit(ours.raw, ASKS)
    assert counter(ours.tenant.pk) == Decimal("0.25")


def test_counters_are_made_anew_in_time(ours: Party) -> None:
    limit(ours, "1")
    admit(ours.raw, ASKS)
    left: Any = redis_client.client().ttl(f"spent:{ours.tenant.pk}:{months.name(timezone.now())}")
    assert 0 < left <= budgets.COUNTER_SECONDS


def test_without_redis_the_records_in_postgres_decide(ours: Party) -> None:
    key, raw = make_key(ours.tenant, monthly_budget_usd=Decimal("0.5"))
    limit(ours, "1")
    with redis_refused():
        answer(ours, key=key, most="0.4", cost="0.4")
        assert admit(raw, ASKS).exhausted == ""
        with pytest.raises(BudgetSpent, match="does not cover"):
            answer(ours, key=key, most="0.2", cost="0.2")
        answer(ours, key=key, most="0.1", cost="0.1")
        assert (admit(raw, ASKS).exhausted, admit(ours.raw, ASKS).exhausted) == ("key", "")
        answer(ours, most="0.5", cost="0.5")
        assert (admit(ours.raw, ASKS).exhausted, admit(ours.raw).exhausted) == ("tenant", "")


def test_what_is_spent_while_redis_is_away_counts_when_it_is_back(ours: Party, tmp_path: Path) -> None:
    limit(ours, "1")
    with redis_of_its_own(tmp_path):
        limit(ours, "1")
        admit(ours.raw, ASKS)
        answer(ours, most="0.5", cost="0.25")
        with redis_refused():
            answer(ours, most="0.5", cost="0.5")
        assert counter(ours.tenant.pk) == Decimal("0.25")  # it knows nothing of it yet
        usage.record(used(ours, "0"))  # the next request that this process records tells it
        with pytest.raises(BudgetSpent):
            answer(ours, most="0.3", cost="0.3")
        assert counter(ours.tenant.pk) == Decimal("0.75")
