from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, strategies

from ragsite.lib.identifiers import floor, made_at, uuid7

MOMENTS = strategies.datetimes(timezones=strategies.just(UTC), min_value=datetime(1971, 1, 1))  # noqa: DTZ001  as it asks


def test_ids_are_version_7_and_differ() -> None:
    ids = {uuid7() for _ in range(1000)}
    assert len(ids) == 1000
    assert {(identifier.version, identifier.variant) for identifier in ids} == {(7, "specified in RFC 4122")}


def test_ids_sort_by_time() -> None:
    before = datetime.now(UTC)
    identifier = uuid7()
    after = datetime.now(UTC) + timedelta(milliseconds=1)
    assert floor(before) <= identifier < floor(after)
    assert before - timedelta(milliseconds=1) < made_at(identifier) <= after


@given(MOMENTS)
def test_floor_is_the_start_of_the_millisecond(moment: datetime) -> None:
    start = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert floor(moment) == floor(start)
    assert floor(start - timedelta(milliseconds=1)) < floor(start)
    assert floor(moment).version == 7


@pytest.mark.parametrize(
    "moment", [datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, 5, 6, tzinfo=UTC)]
)
def test_made_at_reads_what_floor_wrote(moment: datetime) -> None:
    assert made_at(floor(moment)) == moment
    assert made_at(UUID(int=floor(moment).int | 0xFFF)) == moment
