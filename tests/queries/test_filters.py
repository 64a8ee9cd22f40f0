"""Filters of questions over HTTP: what they find, how they are refused, and that the cache tells them apart."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks

from documents.models import Document
from tests.makers import Party, ingest

pytestmark = pytest.mark.django_db


@pytest.fixture
def teas(ours: Party, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        for year in (2019, 2021):
            metadata = {"year": year, "signed": f"{year}-03-01", "tags": ["tea", str(year)]}
            document = ingest(ours.tenant, f"Tea was served at four in {year}.", metadata=metadata)
            moment = datetime(year, 5, 1, 12, tzinfo=UTC)
            Document.objects.filter(pk=document.pk).update(created_at=moment, ready_at=moment)


def found(party: Party, **asked: Any) -> list[str]:
    body = {"question": "When was tea served?", **asked}
    answer = party.client.post("/api/search", body, format="json")
    assert answer.status_code == 200, answer.json()
    return sorted(result["text"][-5:-1] for result in answer.json()["results"])


@pytest.mark.parametrize(
    ("asked", "years"),
    [
        ({"metadata": {"year": 2019}}, ["2019"]),
        ({"metadata": {"year": {"$gte": 2020}}}, ["2021"]),
        ({"metadata": {"signed": {"$between": ["2019-01-01", "2021-03-01"]}}}, ["2019", "2021"]),
        ({"metadata": {"tags": {"$contains": "2019"}}}, ["2019"]),
        ({"created_at": {"$lt": "2020-01-01"}}, ["2019"]),
        ({"ready_at": {"$gte": "2021-05-01T12:00:00Z"}}, ["2021"]),
        ({"created_at": {"$gt": "2021-05-01"}}, []),
        ({"metadata": None, "created_at": None, "ready_at": None}, ["2019", "2021"]),
    ],
)
def test_a_search_holds_to_its_filters(
    ours: Party, teas: None, asked: dict[str, Any], years: list[str]
) -> None:
    assert found(ours, **asked) == years


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", {"year": {"$near": 2020}}),
        ("metadata", {"year": {"$gt": "many"}}),
        ("metadata", {"$or": [{"a": {"$gt": n}} for n in range(40)]}),
        ("metadata", {"year": {"$in": list(range(300))}}),
        ("created_at", {}),
        ("created_at", "2024-01-01"),
        ("created_at", {"$gte": 2024}),
        ("ready_at", {"$gte": "2024-13-01"}),
        ("ready_at", []),
    ],
)
@pytest.mark.parametrize("path", ["/api/search", "/api/query"])
def test_a_filter_that_says_nothing_is_refused(ours: Party, path: str, field: str, value: Any) -> None:
    answer = ours.client.post(path, {"question": "tea", field: value}, format="json")
    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, "filter")]


def test_a_filter_nested_a_thousand_times_is_refused(ours: Party) -> None:
    nested = '{"$and":[' * 900 + "{}" + "]}" * 900
    body = f'{{"question": "tea", "metadata": {nested}}}'
    answer = ours.client.post("/api/search", body, content_type="application/json")
    assert answer.status_code == 400


def test_the_cache_tells_filters_apart(ours: Party, teas: None) -> None:
    def answer(**asked: Any) -> tuple[bool, list[str]]:
        body = {"question": "When was tea served?", **asked}
        told = ours.client.post("/api/query", body, format="json").json()
        return told["from_cache"], [source["text"][-5:-1] for source in told["sources"]]

    late, early = {"year": {"$gte": 2020}}, {"year": {"$lt": 2020}}
    assert answer(metadata=late) == (False, ["2021"])
    assert answer(metadata=early) == (False, ["2019"])
    assert answer(created_at={"$lt": "2020-01-01"}) == (False, ["2019"])
    assert answer(ready_at={"$gt": "2020-01-01"}) == (False, ["2021"])
    assert answer(metadata=late) == (True, ["2021"])
    assert answer(created_at={"$lt": "2020-01-01"}) == (True, ["2019"])
