from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections

from ragsite.lib import partitions
from ragsite.lib.identifiers import floor

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
