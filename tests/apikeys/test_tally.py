"""Uses of keys are counted exactly, and a key's row is rewritten once a minute at most."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apikeys import tally, tasks, usage
from apikeys.models import APIKey, Tally
from ragsite.lib import row_security
from ragsite.lib.identifiers import made_at, uuid7
from tests.makers import Party, make_key, make_party, make_user


def record(party: Party, count: int = 1, key: APIKey | None = None) -> list[usage.Entry]:
    made = [
        usage.Entry(id=uuid7(), tenant_id=party.tenant.pk, endpoint="/", method="GET", status=200, milliseconds=1, key_id=(key or party.key).pk)
        for _ in range(count)
    ]  # fmt: skip
    usage.write(made)
    return made


def shown(party: Party) -> tuple[int, str | None]:
    body = party.business_client.get(f"/api/keys/{party.key.pk}").json()
    return body["usage_count"], body["last_used_at"]


def row(key: APIKey) -> tuple[str, int]:
    """The row's version in the table, and what it holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ctid::text, usage_count FROM apikeys_apikey WHERE id = %s", [key.pk])
        found: tuple[str, int] = cursor.fetchone()
    return found


def test_count_is_exact_before_and_after_it_is_added_up(ours: Party, theirs: Party) -> None:
    assert shown(ours) == (0, None)
    record(ours, 3)
    record(theirs, 5)
    last = record(ours, 4)[-1]
    expected = 7, made_at(last.id).isoformat().replace("+00:00", "Z")
    assert shown(ours) == expected
    tasks.fold_tally()
    assert shown(ours) == expected
    assert not Tally.objects.across_tenants().exists()
    record(ours)
    assert shown(ours)[0] == 8
    assert shown(theirs)[0] == 5


def test_twice_delivered_counts_once(ours: Party) -> None:
    made = record(ours, 3)
    usage.write(made)
    tally.fold()
    usage.write(made)
    tally.fold()
    assert shown(ours)[0] == 3


def test_busy_key_is_rewritten_only_when_it_is_added_up(ours: Party) -> None:
    before = row(ours.key)
    for _ in range(10):
        record(ours)
    assert row(ours.key) == before
    tally.fold()
    once = row(ours.key)
    assert once[0] != before[0]
    assert once[1] == 10
    tally.fold()
    assert row(ours.key) == once


def test_older_record_does_not_set_the_last_use_back(ours: Party) -> None:
    early = usage.Entry(id=uuid7(), tenant_id=ours.tenant.pk, endpoint="/", method="GET", status=200, milliseconds=1, key_id=ours.key.pk)  # fmt: skip
    record(ours)
    tally.fold()
    last = shown(ours)[1]
    usage.write([early])
    assert shown(ours) == (2, last)
    tally.fold()
    assert shown(ours) == (2, last)


def test_batch_is_one_statement_however_many_keys(
    ours: Party, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    others = [make_key(ours.tenant)[0] for _ in range(5)]
    entries = [
        usage.Entry(id=uuid7(), tenant_id=ours.tenant.pk, endpoint="/", method="GET", status=200, milliseconds=1, key_id=key.pk)
        for key in others
    ]  # fmt: skip
    with django_assert_num_queries(3):  # with the savepoint
        usage.write(entries)
    assert Tally.objects.for_tenant(ours.tenant).count() == 5


def test_tally_of_another_tenants_key_counts_nothing(ours: Party, theirs: Party) -> None:
    usage.write([usage.Entry(id=uuid7(), tenant_id=ours.tenant.pk, endpoint="/", method="GET", status=200, milliseconds=1, key_id=theirs.key.pk)])  # fmt: skip
    tally.fold()
    assert not Tally.objects.across_tenants().exists()
    assert shown(theirs)[0] == 0


def test_people_and_keys_that_are_gone_hold_up_nobody(ours: Party) -> None:
    record(ours, 2)
    usage.write([usage.Entry(id=uuid7(), tenant_id=ours.tenant.pk, endpoint="/", method="GET", status=200, milliseconds=1, user_id=ours.user.pk)])  # fmt: skip
    gone, _ = make_key(ours.tenant)
    record(ours, key=gone)
    gone.delete()
    tally.fold()
    assert not Tally.objects.across_tenants().exists()
    assert shown(ours)[0] == 2


def test_admin_shows_the_same(ours: Party) -> None:
    operator = Client()
    operator.force_login(make_user("operator", is_staff=True, is_superuser=True))
    record(ours, 4321)
    assert "4321" in operator.get("/admin/apikeys/apikey/").content.decode()
    assert "4321" in operator.get(f"/admin/apikeys/apikey/{ours.key.pk}/change/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_nothing_drifts_among_writers_and_folders() -> None:
    party = make_party("ours")
    errors: list[Any] = []
    writing = threading.Event()

    def write() -> None:
        try:
            for _ in range(40):
                made = record(party, 5)
                usage.write(made)  # delivered again
        except Exception as error:  # noqa: BLE001  shown below
            errors.append(error)
        finally:
            connection.close()

    def fold() -> None:
        seen = 0
        try:
            while not writing.is_set():
                tally.fold()
                with row_security.across():
                    key: Any = tally.counted(APIKey.objects.for_tenant(party.tenant)).get()
                assert key.uses >= seen, "a use that was counted is missing"
                seen = key.uses
        except Exception as error:  # noqa: BLE001  shown below
            errors.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write) for _ in range(3)]
    folders = [threading.Thread(target=fold) for _ in range(2)]
    for thread in (*writers, *folders):
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    for thread in folders:
        thread.join()
    assert errors == []
    tally.fold()
    assert row(party.key)[1] == 600
