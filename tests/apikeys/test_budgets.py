"""Monthly budgets on real Redis, and without it: exact, shared, and true to the records."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import standing
from apikeys import budgets, copies, keys, usage
from apikeys.budgets import Account, Budget
from apikeys.callers import Caller
from apikeys.migrations import __name__ as migrations
from apikeys.models import APIKey
from apikeys.purses import CallersPurse
from apikeys.spending import Spent
from queries import recording
from ragsite.lib import months, redis_client
from ragsite.lib.errors import BudgetSpent
from ragsite.lib.identifiers import uuid7
from ragsite.lib.money import dollars, micro
from tests.apikeys.admitting import admit
from tests.apikeys.budgeting import ASKS, answer, caller, counter, held, limit, nothing_open, used
from tests.makers import Party, make_key


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    with nothing_open():
        yield


# What is spent ------------------------------------------------------------------------------------------------


def test_admission_refuses_once_a_budget_is_spent(ours: Party) -> None:
    key, raw = make_key(ours.tenant, monthly_budget_usd=Decimal("0.01"), burst=5, rate_limit=1)
    assert admit(raw, ASKS).exhausted == ""
    answer(ours, key=key, most="0.01", cost="0.009999")
    assert admit(raw, ASKS).exhausted == ""
    answer(ours, key=key, most="0.000001", cost="0.000001")
    refused = admit(raw, ASKS)
    assert (refused.admitted, refused.exhausted, int(refused.tokens_left)) == (
        True,
        "key",
        2,
    )  # it took its token
    assert admit(raw).exhausted == ""  # what asks for nothing goes on
    assert admit(ours.raw, ASKS).exhausted == ""


def test_budget_of_nothing_lets_nothing_through(ours: Party) -> None:
    _, raw = make_key(ours.tenant, monthly_budget_usd=Decimal(0))
    assert admit(raw, ASKS).exhausted == "key"
    limit(ours, "0")
    assert admit(ours.raw, ASKS).exhausted == "tenant"
    with pytest.raises(BudgetSpent):
        budgets.check(Caller(tenant_id=ours.tenant.pk, user_id=ours.user.pk))


def test_without_budgets_admission_looks_at_none(ours: Party) -> None:
    admit(ours.raw, ASKS)
    assert not list(redis_client.client().scan_iter("spent:*"))


def test_an_answer_is_held_in_both_budgets_or_in_none(ours: Party) -> None:
    key, _ = make_key(ours.tenant, monthly_budget_usd=Decimal(1))
    limit(ours, "0.50")
    budgets.reserve(caller(ours, key), Decimal("0.40"))
    assert (held(ours.tenant.pk), held(key.pk)) == (1, 1)
    with pytest.raises(BudgetSpent, match="left of the tenant's monthly budget"):
        budgets.reserve(caller(ours, key), Decimal("0.11"))
    assert (held(ours.tenant.pk), held(key.pk)) == (1, 1)
    budgets.reserve(caller(ours), Decimal("0.10"))  # another key, with no budget of its own
    with pytest.raises(BudgetSpent):
        budgets.reserve(Caller(tenant_id=ours.tenant.pk, user_id=ours.user.pk), Decimal("0.000001"))


def test_a_refusal_says_which_budget_and_when_it_begins_anew(ours: Party) -> None:
    key, _ = make_key(ours.tenant, monthly_budget_usd=Decimal(0))
    anew = months.begin(timezone.now(), ahead=1).strftime("%Y-%m-01T00:00:00Z")
    with pytest.raises(BudgetSpent, match=f"This key's monthly budget is spent. It begins anew at {anew}"):
        budgets.check(caller(ours, key))


def test_the_record_settles_what_was_reserved(ours: Party) -> None:
    limit(ours, "1")
    admit(ours.raw, ASKS)
    answer(ours, most="0.9", cost="0.25")
    assert (counter(ours.tenant.pk), held(ours.tenant.pk)) == (Decimal("0.25"), 0)
    failed = used(ours, "0", status=502)
    CallersPurse(caller(ours), failed.id).reserve(Decimal("0.7"))
    assert held(ours.tenant.pk) == 1
    usage.record(failed)
    assert (counter(ours.tenant.pk), held(ours.tenant.pk)) == (Decimal("0.25"), 0)


def test_two_calls_for_one_answer_add_up(ours: Party) -> None:
    limit(ours, "1")
    admit(ours.raw, ASKS)
    entry = used(ours, "0")
    for cost in ("0.1", "0.2"):
        purse = CallersPurse(caller(ours), entry.id)
        purse.reserve(Decimal("0.4"))
        purse.take(Spent(cost_usd=Decimal(cost), prompt_tokens=7))
    assert held(ours.tenant.pk) == 2
    usage.record(entry)
    assert (counter(ours.tenant.pk), held(ours.tenant.pk)) == (Decimal("0.3"), 0)


def test_fifty_at_the_edge_overspend_by_nothing(ours: Party) -> None:
    """Fifty threads at once, twenty times: what is settled stays within the budget, and is what the records say."""
    for number in range(20):
        account = Account(uuid7())
        limit = Decimal("0.10")
        budgets.recount(redis_client.client(), account, months.name(timezone.now()))
        barrier = threading.Barrier(50)

        def ask(
            place: int,
            account: Account = account,
            limit: Decimal = limit,
            barrier: threading.Barrier = barrier,
        ) -> bool:
            entry = used(ours, "0", tenant_id=account.id)
            purse = CallersPurse(Caller(tenant_id=account.id), entry.id)
            barrier.wait()
            try:
                purse.reserve(Decimal("0.009"))
            except BudgetSpent:
                return False
            finally:
                purse.take(Spent(cost_usd=Decimal("0.001") * (1 + place % 9)))
                usage.record(entry)
            return True

        with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(50) as pool:
            patch.setattr(budgets, "of_caller", lambda caller: [Budget(Account(caller.tenant_id), limit)])  # noqa: B023  of this round
            answered = sum(pool.map(ask, range(50)))
        spent = counter(account.id)
        assert spent is not None
        assert 0 < spent <= limit, number
        assert answered >= 11  # as many as fit even if each costs the most
        assert held(account.id) == 0
        assert (
            sum(budgets._unwritten(redis_client.client(), account, months.name(timezone.now())).values())
            == spent
        )


def test_what_a_killed_process_held_ends_by_itself(
    ours: Party, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(ours, "1")
    settings.ANSWER_TIMEOUT_SECONDS = 0
    monkeypatch.setattr(budgets, "GRACE_SECONDS", 0.3)
    budgets.reserve(caller(ours), Decimal(1))  # and nobody settles it
    with pytest.raises(BudgetSpent):
        budgets.reserve(caller(ours), Decimal("0.5"))
    time.sleep(0.35)
    budgets.reserve(caller(ours), Decimal("0.5"))


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-5"])
def test_what_is_no_amount_poisons_nothing(ours: Party, cost: str) -> None:
    limit(ours, "1")
    admit(ours.raw, ASKS)
    answer(ours, most="0.5", cost=cost)
    answer(ours, most="0.5", cost="0.25")
    fields = usage.to_stream(used(ours, "0", milliseconds=float("nan")))
    usage.write([usage.from_stream(fields | {"cost_usd": cost, "prompt_tokens": "-1"}), used(ours, "0.125")])
    assert counter(ours.tenant.pk) == Decimal("0.25")
    rows = usage.Entry.row(usage.from_stream(fields))
    assert rows[list(usage.COLUMNS).index("milliseconds")] == 0
    redis_client.client().flushdb()
    admit(ours.raw, ASKS)
    assert counter(ours.tenant.pk) == Decimal("0.125")


# Lines of keys ------------------------------------------------------------------------------------------------


def test_rotation_neither_doubles_a_budget_nor_begins_it_anew(ours: Party) -> None:
    first, raw = make_key(ours.tenant, monthly_budget_usd=Decimal(1))
    answer(ours, key=first, most="0.5", cost="0.3")
    second, second_raw = keys.rotate(first, overlap=timedelta(hours=1))
    answer(ours, key=second, most="0.5", cost="0.3")
    third, third_raw = keys.rotate(second, overlap=timedelta(hours=1))
    assert (second.line, third.line, third.monthly_budget_usd) == (first.pk, first.pk, Decimal(1))
    with pytest.raises(BudgetSpent):
        answer(ours, key=third, most="0.5", cost="0.3")
    answer(ours, key=first, most="0.4", cost="0.4")
    assert {admit(one, ASKS).exhausted for one in (raw, second_raw, third_raw)} == {"key"}
    client = recording.client()
    recording.prepare(client)
    while recording.drain(client, block_ms=None):
        pass
    client.close()
    redis_client.client().flushdb()
    assert {admit(one, ASKS).exhausted for one in (raw, second_raw, third_raw)} == {"key"}
    shown = ours.business_client.get(f"/api/keys/{second.pk}").json()["budget"]
    assert (shown["monthly_usd"], shown["spent_usd"], shown["remaining_usd"]) == (1.0, 1.0, 0.0)


def test_lines_of_keys_that_were_rotated_before_are_found(ours: Party) -> None:
    first, _ = make_key(ours.tenant)
    second, _ = keys.rotate(first)
    third, _ = keys.rotate(second)
    APIKey.objects.across_tenants().update(line=None)
    fill = __import__(f"{migrations}.0006_key_line", fromlist=["FILL"]).FILL
    with connection.cursor() as cursor:
        cursor.execute(fill)
    lines = dict(APIKey.objects.for_tenant(ours.tenant).values_list("pk", "line"))
    assert lines == {ours.key.pk: None, first.pk: None, second.pk: first.pk, third.pk: first.pk}


# Changes ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_changed_budgets_hold_at_once(ours: Party) -> None:
    key, raw = make_key(ours.tenant)
    answer(ours, key=key, most="0.5", cost="0.5")
    assert admit(raw, ASKS).exhausted == ""
    key.monthly_budget_usd = Decimal("0.5")
    key.save()
    copies.forget(key.key_hash)
    assert admit(raw, ASKS).exhausted == "key"
    key.monthly_budget_usd = Decimal("0.6")
    key.save()
    copies.forget(key.key_hash)
    assert admit(raw, ASKS).exhausted == ""
    for budget, spent in (
        (Decimal("0.5"), "tenant"),
        (Decimal("0.51"), ""),
        (Decimal(0), "tenant"),
        (None, ""),
    ):
        ours.tenant.monthly_budget_usd = budget
        ours.tenant.save()
        standing.changed(ours.tenant)
        assert admit(raw, ASKS).exhausted == spent


def test_amounts_are_whole_millionths() -> None:
    assert [micro(Decimal(text)) for text in ("0.0000005", "0.00000049", "99999999.9999")] == [
        1,
        0,
        99_999_999_999_900,
    ]
    assert dollars(1_500_001) == Decimal("1.500001")
