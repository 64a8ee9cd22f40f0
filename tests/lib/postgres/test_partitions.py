import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connections
from psycopg.conninfo import make_conninfo

from ragsite.lib.identifiers import floor, uuid7
from ragsite.lib.postgres import partitions

pytestmark = pytest.mark.django_db(databases=["default", "owner"])


@pytest.fixture
def table() -> str:
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "CREATE TABLE things (id uuid PRIMARY KEY, tenant_id uuid, name text NOT NULL CHECK (name <> ''))"
        )
        cursor.execute(partitions.CONVERT.format(table="things"))
    return "things"


def ask(query: str, *values: Any) -> list[Any]:
    with connections["owner"].cursor() as cursor:
        cursor.execute(query, values)
        rows: list[Any] = cursor.fetchall()
    return rows


def put(moment: datetime) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute("INSERT INTO things VALUES (%s, NULL, 'x')", [floor(moment)])


def where() -> list[str]:
    return [str(name) for (name,) in ask("SELECT tableoid::regclass::text FROM things ORDER BY id")]


def now_is(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)


def test_months_are_made_ahead_once(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(monkeypatch, datetime(2030, 11, 30, 23, 59, tzinfo=UTC))
    for _ in range(2):
        partitions.make_ahead(table)
    names = [
        name
        for (name,) in ask(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'things'::regclass"
        )
    ]
    assert sorted(names) == [
        f"things_{month}" for month in ("2030_11", "2030_12", "2031_01", "2031_02", "default")
    ]


def test_rows_find_their_month(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(monkeypatch, datetime(2030, 12, 1, tzinfo=UTC))
    partitions.make_ahead(table)
    put(datetime(2030, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC))
    put(datetime(2030, 12, 1, tzinfo=UTC))
    put(datetime(2030, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC))
    put(datetime(2031, 1, 1, tzinfo=UTC))
    put(datetime(2040, 1, 1, tzinfo=UTC))
    assert where() == [
        "things_default",
        "things_2030_12",
        "things_2030_12",
        "things_2031_01",
        "things_default",
    ]


def test_new_month_takes_its_rows_out_of_the_default(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(datetime(2030, 5, 7, tzinfo=UTC))
    put(datetime(2029, 5, 7, tzinfo=UTC))
    now_is(monkeypatch, datetime(2030, 5, 8, tzinfo=UTC))
    partitions.make_ahead(table)
    assert where() == ["things_default", "things_2030_05"]


@pytest.mark.parametrize("name", ["apikeys_usage", "queries_query"])
def test_tables_of_records_are_partitioned(name: str) -> None:
    ((kind,),) = ask("SELECT relkind FROM pg_class WHERE relname = %s", name)
    assert kind in {"p", b"p"}
    month = f"{name}_{datetime.now(UTC):%Y_%m}"
    ((found,),) = ask("SELECT to_regclass(%s)::text", month)
    assert found == month


def test_months_that_are_over_are_found_and_dropped(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(monkeypatch, datetime(2030, 11, 30, tzinfo=UTC))
    partitions.make_ahead(table)
    put(datetime(2030, 11, 30, tzinfo=UTC))
    put(datetime(2030, 12, 31, 23, 59, tzinfo=UTC))
    put(datetime(2029, 1, 1, tzinfo=UTC))
    assert partitions.older_than(table, datetime(2030, 11, 30, tzinfo=UTC)) == []
    assert partitions.older_than(table, datetime(2030, 12, 31, tzinfo=UTC)) == ["things_2030_11"]
    due = partitions.older_than(table, datetime(2031, 1, 1, tzinfo=UTC))
    assert due == ["things_2030_11", "things_2030_12"]
    assert [partitions.count(month) for month in due] == [1, 1]
    with connections["owner"].cursor() as cursor:  # as a run leaves it that ends between its two halves
        cursor.execute("ALTER TABLE things DETACH PARTITION things_2030_11")
    for month in due:
        partitions.drop(table, month)
        partitions.drop(table, month)
    assert partitions.older_than(table, datetime(2031, 1, 1, tzinfo=UTC)) == []
    assert where() == ["things_default"]


def test_neighbours_of_like_names_are_left_alone(table: str) -> None:
    with connections["owner"].cursor() as cursor:
        cursor.execute("CREATE TABLE things_2030_01_copy (id int); CREATE TABLE things_more_2030_01 (id int)")
    assert partitions.older_than(table, datetime(2040, 1, 1, tzinfo=UTC)) == []


@pytest.fixture
def shared_table(transactional_db: None) -> Iterator[str]:
    with connections["owner"].cursor() as cursor:
        cursor.execute("CREATE TABLE shared (id uuid PRIMARY KEY, tenant_id uuid, name text)")
        cursor.execute(partitions.CONVERT.format(table="shared"))
        cursor.execute(
            "CREATE TABLE shared_2020_01 PARTITION OF shared FOR VALUES FROM (%s) TO (%s)",
            [floor(datetime(2020, 1, 1, tzinfo=UTC)), floor(datetime(2020, 2, 1, tzinfo=UTC))],
        )
    yield "shared"
    with connections["owner"].cursor() as cursor:
        cursor.execute("DROP TABLE shared")


def elsewhere() -> "psycopg.Connection[Any]":
    return psycopg.connect(
        make_conninfo(os.environ["DATABASE_OWNER_URL"], dbname=connections["owner"].settings_dict["NAME"])
    )


def test_table_in_use_is_waited_for_in_short_steps(
    shared_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long transaction has read the table: dropping a month has to wait, and no writer waits behind it for long."""
    monkeypatch.setattr(partitions, "PAUSE_SECONDS", 0.05)
    waits: list[float] = []
    done = threading.Event()

    def write() -> None:
        with elsewhere() as writer:
            writer.autocommit = True
            while not done.is_set():
                before = time.monotonic()
                writer.execute("INSERT INTO shared VALUES (%s, NULL, 'x')", [uuid7()])
                waits.append(time.monotonic() - before)
                time.sleep(0.005)

    thread = threading.Thread(target=write)
    with elsewhere() as reader:
        reader.execute("SELECT count(*) FROM shared")
        thread.start()
        monkeypatch.setattr(partitions, "TRIES", 4)
        with pytest.raises(partitions.Busy):
            partitions.drop(shared_table, "shared_2020_01")
        reader.rollback()
        partitions.drop(shared_table, "shared_2020_01")
    done.set()
    thread.join()
    assert partitions.older_than(shared_table, datetime(2040, 1, 1, tzinfo=UTC)) == []
    assert len(waits) > 10
    assert max(waits) < 1
