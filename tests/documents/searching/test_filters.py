"""Filters by metadata: what each operator finds in Postgres, what is refused, and that a hostile one is bounded."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import Tenant
from documents.models import Document
from documents.searching import filters, retrieval, search
from documents.searching.dates import Span
from documents.searching.retrieval import Legs
from documents.searching.scope import Scope
from ragsite.lib.errors import Invalid
from tests.documents.corpora import make_loaded, unit_vectors
from tests.makers import Party

RANDOM = np.random.default_rng(5)
ROWS: Mapping[str, Mapping[str, Any]] = {
    "old": {"year": 2019, "department": "hr", "signed": "2019-05-01", "tags": ["x", "y"], "open": True},
    "new": {"year": 2021.5, "department": "it", "signed": "2021-12-31T23:30:00Z", "tags": ["y"], "open": False},
    "text": {"year": "2020", "department": 7, "signed": "in spring", "tags": "x", "open": "true"},
    "late": {"year": 2024, "signed": "2022-01-01T01:00:00.5+02:00", "contract": {"value": 900, "with": 'A "B"'}},
    "none": {"year": None, "contract": {"value": "900"}, "a.b": 1, "ключ😀": "да"},
}  # fmt: skip


def matching(wanted: Mapping[str, Any]) -> list[str]:
    """Which of ROWS fulfil the filter, by Postgres's word."""
    condition = filters.compiled(wanted)
    asked: list[Any] = [
        json.dumps(ROWS),
        json.dumps(condition.contains),
        condition.path or "true == true",
        json.dumps(condition.variables),
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM jsonb_each(%s::jsonb) AS row (name, metadata) WHERE metadata @> %s::jsonb"
            " AND jsonb_path_match_tz(metadata, %s::jsonpath, %s::jsonb, true)",
            asked,
        )
        return sorted(row[0] for row in cursor.fetchall())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        # Without operators: as it stands.
        ({"year": 2019}, ["old"]),
        ({"tags": ["x"]}, ["old"]),
        ({"contract": {"value": 900}}, ["late"]),
        # Numbers are numbers.
        ({"year": {"$gte": 2020}}, ["late", "new"]),
        ({"year": {"$gt": 2019, "$lt": 2024}}, ["new"]),
        ({"year": {"$between": [2019, 2021.5]}}, ["new", "old"]),
        ({"year": {"$eq": 2024.0}}, ["late"]),
        ({"year": {"$eq": "2020"}}, ["text"]),
        ({"year": {"$in": [2019, "2020", None]}}, ["none", "old", "text"]),
        # What is not equal is also what has no such field, or one of another type.
        ({"year": {"$ne": 2019}}, ["late", "new", "none", "text"]),
        ({"department": {"$nin": ["hr", 7]}}, ["late", "new", "none"]),
        ({"open": {"$eq": True}}, ["old"]),
        # Dates are dates, whatever their form; a day is a whole one.
        ({"signed": {"$gte": "2021-12-31"}}, ["late", "new"]),
        ({"signed": {"$lte": "2021-12-31"}}, ["late", "new", "old"]),
        ({"signed": {"$gt": "2021-12-31"}}, []),
        ({"signed": {"$lt": "2021-12-31T23:00:00.25Z"}}, ["old"]),
        ({"signed": {"$between": ["2019-05-01", "2019-05-01"]}}, ["old"]),
        ({"signed": {"$gte": 2000}}, []),
        ({"signed": "2019-05-01"}, ["old"]),
        # Lists.
        ({"tags": {"$contains": "y"}}, ["new", "old"]),
        ({"tags": {"$contains": ["x", "y"]}}, ["old"]),
        ({"tags": {"$in": ["y", "z"]}}, ["new", "old"]),
        ({"tags": {"$ne": "x"}}, ["late", "new", "none"]),
        ({"tags": {"$exists": False}}, ["late", "none"]),
        ({"year": {"$exists": True}}, ["late", "new", "none", "old", "text"]),
        # Nested fields, and several filters.
        ({"contract": {"value": {"$gte": 900}}}, ["late"]),
        ({"contract": {"with": {"$eq": 'A "B"'}}}, ["late"]),
        ({"a.b": {"$gte": 1}}, ["none"]),
        ({"ключ😀": {"$eq": "да"}}, ["none"]),
        ({"$or": [{"year": 2019}, {"contract": {"value": {"$gt": 1}}}]}, ["late", "old"]),
        ({"$or": [{"year": {"$gte": 2024}}, {"$and": [{"tags": ["x", "y"]}, {"open": True}]}]}, ["late", "old"]),
        ({"department": "hr", "year": {"$lt": 2020}}, ["old"]),
        ({"department": "it", "year": {"$lt": 2020}}, []),
        ({'" || true || "': {"$eq": 1}}, []),
        ({"year": {"$eq": "$v0 || true"}}, []),
    ],
)  # fmt: skip
def test_a_filter_finds_what_fulfils_it(wanted: dict[str, Any], found: list[str]) -> None:
    assert matching(wanted) == found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"year": {"$near": 1}}, "no operator"),
        ({"year": {"gte": {"$gte": {"$gte": 1}}}}, "compares"),
        ({"year": {"$gt": 1, "other": 2}}, "no operator"),
        ({"$gte": 2020}, "outside a field"),
        ({"year": {"$gte": "many"}}, "compares numbers, and dates"),
        ({"year": {"$lt": True}}, "compares numbers, and dates"),
        ({"year": {"$between": [1]}}, "list of two"),
        ({"year": {"$between": [1, "2024-01-01"]}}, "two numbers or two dates"),
        ({"year": {"$in": 5}}, "takes a list"),
        ({"year": {"$in": [[1]]}}, "strings, numbers"),
        ({"year": {"$eq": {"a": 1}}}, "strings, numbers"),
        ({"year": {"$exists": "yes"}}, "true or false"),
        ({"$or": []}, "list of filters"),
        ({"$or": [{}]}, "list of filters"),
        ({"$and": {"a": 1}}, "list of filters"),
        ({"year": {"$in": list(range(201))}}, "200 values"),
        ({"$or": [{"n": {"$gt": n}} for n in range(33)]}, "32 conditions"),
    ],
)  # fmt: skip
def test_what_says_nothing_is_refused(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said) as refused:
        filters.compiled(wanted)
    assert refused.value.error_code == "filter"


@pytest.mark.parametrize("joint", ["$or", "$and", "field"])
def test_what_is_nested_too_deeply_is_refused(joint: str) -> None:
    wanted: dict[str, Any] = {"a": {"$gt": 1}}
    for _ in range(5_000):
        wanted = {joint: wanted if joint == "field" else [wanted]}
    with pytest.raises(Invalid, match="levels deep"):
        filters.compiled(wanted)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.dates().map(str)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["a", "$and", "$or", '"', "\\", *filters._OPERATORS]) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
        inner, max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.django_db
@hypothesis_settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "$or", "year", "tags", "b\n"]), _json, max_size=3))
def test_whatever_is_not_refused_postgres_can_read(wanted: dict[str, Any]) -> None:
    with suppress(Invalid):
        matching(wanted)


@pytest.fixture
def dated(ours: Party, theirs: Party) -> Tenant:
    for party in (ours, theirs):
        for n, year in enumerate((2019, 2020, 2021, "2021")):
            document = make_loaded(
                party.tenant, [f"tea of {year} {n}"], unit_vectors(RANDOM, 1), year=year, signed=f"202{n}-06-15"
            )  # fmt: skip
            moment = datetime(2020 + n, 6, 15, tzinfo=UTC)
            Document.objects.filter(pk=document.pk).update(
                created_at=moment, ready_at=moment + timedelta(days=1)
            )
    return ours.tenant


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by_index", [False, True])
@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"metadata": {"year": {"$gte": 2020}}}, [1, 2]),
        ({"metadata": {"year": "2021", "signed": {"$gt": "2021-01-01"}}}, [3]),
        ({"metadata": {"signed": {"$between": ["2020-06-15", "2021-06-15"]}}}, [0, 1]),
        ({"created": Span(since=datetime(2022, 6, 15, tzinfo=UTC))}, [2, 3]),
        ({"created": Span(before=datetime(2022, 6, 15, tzinfo=UTC))}, [0, 1]),
        ({"ready": Span(datetime(2021, 6, 16, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC))}, [1]),
        ({"created": Span(datetime(2025, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))}, []),
        ({"metadata": {"year": {"$gte": 2020}}, "created": Span(before=datetime(2022, 1, 1, tzinfo=UTC))}, [1]),
    ],
)  # fmt: skip
def test_both_legs_hold_to_a_filter_however_they_look(
    dated: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, Any],
    numbers: list[int],
    *,
    by_index: bool,
) -> None:
    if by_index:
        monkeypatch.setattr(retrieval, "_index_pays", lambda *_, **__: True)
        monkeypatch.setattr(retrieval, "LEXICAL_SCAN", 0)
    ran: list[Legs] = []
    real = retrieval.run

    def noted(*args: Any, legs: Legs) -> Any:
        ran.append(legs)
        return real(*args, legs=legs)

    monkeypatch.setattr(retrieval, "run", noted)
    hits = search.hybrid(Scope(dated.pk, **wanted), "tea", top_k=10).hits
    assert sorted(int(hit.text[-1]) for hit in hits) == numbers
    assert all(legs.terms_by_index == by_index for legs in ran)
