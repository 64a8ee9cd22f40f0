"""Calendar months in UTC, by which tables are partitioned and budgets are counted."""

from datetime import UTC, datetime


def begin(moment: datetime, *, ahead: int = 0) -> datetime:
    """The first instant of the month of `moment`, or of the one that comes so many months later."""
    there = moment.astimezone(UTC)
    months = there.year * 12 + there.month - 1 + ahead
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def name(moment: datetime) -> str:
    """As `month.lua` writes it: 2026-11."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def of(text: str) -> datetime:
    """The first instant of a month by its name; raises ValueError for what is none."""
    year, month = text.split("-")
    return datetime(int(year), int(month), 1, tzinfo=UTC)
