"""Moments as they are written, and the spans that comparisons with them make."""

from datetime import UTC, datetime
from typing import Any

import pytest

from documents.searching import dates
from ragsite.lib.errors import Invalid


@pytest.mark.parametrize(
    ("written", "begin"),
    [
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024-02-29T10:30", datetime(2024, 2, 29, 10, 30, tzinfo=UTC)),
        ("2024-02-29T10:30:05Z", datetime(2024, 2, 29, 10, 30, 5, tzinfo=UTC)),
        ("2024-02-29 10:30:05.25+02:00", datetime(2024, 2, 29, 8, 30, 5, 250_000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_in_utc(written: str, begin: datetime) -> None:
    moment = dates.read(written)
    assert moment is not None
    assert moment.begin == begin
    assert (moment.end - moment.begin).total_seconds() == (86_400 if len(written) == 10 else 1e-6)


@pytest.mark.parametrize(
    "written",
    [
        "2024",
        "2024-02-30",
        "20240229",
        "2024-W09-4",
        "9999-12-31",
        "0001-01-01T00:00+14:00",
        "today",
        "٢٠٢٤-٠٢-٢٩",
    ],
)
def test_what_is_no_date_is_none(written: str) -> None:
    assert dates.read(written) is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"$gte": "2024-01-01"}, "[2024-01-01T00:00:00+00:00,)"),
        ({"$gt": "2024-01-01"}, "[2024-01-02T00:00:00+00:00,)"),
        ({"$lt": "2024-01-01"}, "[,2024-01-01T00:00:00+00:00)"),
        ({"$lte": "2024-01-01"}, "[,2024-01-02T00:00:00+00:00)"),
        ({"$between": ["2024-01-01", "2024-01-31"]}, "[2024-01-01T00:00:00+00:00,2024-02-01T00:00:00+00:00)"),
        ({"$gt": "2024-01-01T08:00Z"}, "[2024-01-01T08:00:00.000001+00:00,)"),
        ({"$gte": "2024-01-01", "$gt": "2023-01-01"}, "[2024-01-01T00:00:00+00:00,)"),
        ({"$gte": "2025-01-01", "$lt": "2024-01-01"}, "empty"),
    ],
)
def test_comparisons_make_a_span(wanted: dict[str, Any], expected: str) -> None:
    assert dates.span(wanted).range() == expected


@pytest.mark.parametrize(
    "wanted",
    [{}, [], "2024-01-01", {"$gte": 2024}, {"$gte": "soon"}, {"$eq": "2024-01-01"}, {"gte": "2024-01-01"},
     {"$between": "2024-01-01"}, {"$between": ["2024-01-01"]}, {"$gte": None}],
)  # fmt: skip
def test_what_says_no_span_is_refused(wanted: Any) -> None:
    with pytest.raises(Invalid) as refused:
        dates.span(wanted)
    assert refused.value.error_code == "filter"
