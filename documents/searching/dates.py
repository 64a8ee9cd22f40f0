"""Moments as callers write them, and the spans that comparisons with them make. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ragsite.lib.errors import Invalid

CODE: Final = "filter"
# Of ISO 8601 what people write: Python reads week dates and bare digits too, which could be anything.
_WRITTEN = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
_DAY: Final = len("2024-01-31")
COMPARISONS: Final = ("$gt", "$gte", "$lt", "$lte", "$between")


@dataclass(frozen=True, slots=True)
class Moment:
    """From `begin` to just before `end`: a whole day where no time of day was written, else a microsecond. In UTC."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` to just before `before`; None: without a bound."""

    since: datetime | None = None
    before: datetime | None = None

    def range(self) -> str:
        """As a `tstzrange` of Postgres."""
        if self.since and self.before and self.since >= self.before:
            return "empty"
        begin, end = (bound.isoformat() if bound else "" for bound in (self.since, self.before))
        return f"[{begin},{end})"


def read(written: str) -> Moment | None:
    """None for what is no date and no time of ISO 8601. Without a zone it is UTC."""
    if not _WRITTEN.fullmatch(written):
        return None
    try:
        moment = datetime.fromisoformat(written)
        begin = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return Moment(
            begin, begin + (timedelta(days=1) if len(written) == _DAY else timedelta(microseconds=1))
        )
    except (ValueError, OverflowError):  # the 31st of February, the day after the last
        return None


def span(wanted: Any) -> Span:
    """What an object of comparisons leaves: `{"$gte": "2024-01-01", "$lt": "2025-01-01"}`. Raises Invalid."""
    if not isinstance(wanted, Mapping) or not wanted:
        raise Invalid(
            'Dates are asked for by an object such as {"$gte": "2024-01-01"}, or by "$between".', code=CODE
        )
    since: list[datetime] = []
    before: list[datetime] = []
    for operator, operand in wanted.items():
        if operator not in COMPARISONS:
            raise Invalid(f"A date is compared by one of {', '.join(COMPARISONS)}.", code=CODE)
        low, high = pair(operand) if operator == "$between" else (operand, operand)
        if operator in {"$gt", "$gte", "$between"}:
            since.append(_moment(low).end if operator == "$gt" else _moment(low).begin)
        if operator in {"$lt", "$lte", "$between"}:
            before.append(_moment(high).begin if operator == "$lt" else _moment(high).end)
    return Span(max(since, default=None), min(before, default=None))


def pair(operand: Any) -> tuple[Any, Any]:
    """The two ends of a `$between`."""
    if not isinstance(operand, list) or len(operand) != 2:
        raise Invalid('"$between" takes a list of two: from, to. Both belong to it.', code=CODE)
    return operand[0], operand[1]


def _moment(operand: Any) -> Moment:
    moment = read(operand) if isinstance(operand, str) else None
    if moment is None:
        raise Invalid('A date is written as "2024-01-31" or "2024-01-31T16:30:00Z".', code=CODE)
    return moment
