"""Monthly partitions of the tables whose primary keys are version 7 ids: a month is a range of ids.

Only the tables' owner can add one, which is not the role that serves requests: all of it runs on `owner`.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from time import sleep
from typing import Any, TypeVar

from django.db import IntegrityError, OperationalError, connections, transaction
from django.utils import timezone
from psycopg import errors, sql

from ragsite.lib import months, row_security
from ragsite.lib.identifiers import floor
from ragsite.lib.postgres import OWNER

MONTHS_AHEAD = 3
# Whoever wants a table for itself is queued before everybody who comes later: it must give up soon, and try again.
LOCK_TIMEOUT_MS = 100
TRIES, PAUSE_SECONDS = 30, 0.5

Result = TypeVar("Result")


class Busy(RuntimeError):
    """A table was in use all the time; what was to be done is left for the next run."""


# Turns a table that Django just made into a partitioned one of the same columns. A row outside every month goes
# into the default partition: nothing is ever refused for want of one.
CONVERT = """
ALTER TABLE {table} RENAME TO {table}_plain;
CREATE TABLE {table} (LIKE {table}_plain INCLUDING ALL EXCLUDING INDEXES, PRIMARY KEY (id)) PARTITION BY RANGE (id);
DROP TABLE {table}_plain;
CREATE TABLE {table}_default PARTITION OF {table} DEFAULT;
"""

_PARTS = """
SELECT part.relname FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
WHERE inhparent = to_regclass(%s) AND NOT part.relrowsecurity
"""


def make_ahead(table: str, *, using: str = OWNER) -> None:
    """Makes the partitions of this month and the next ones, where they are missing; raises Busy."""
    now = timezone.now()
    with row_security.across():  # rows move between partitions, whoever's they are
        for ahead in range(MONTHS_AHEAD + 1):
            start, end = months.begin(now, ahead=ahead), months.begin(now, ahead=ahead + 1)
            _as_owner(partial(_make, table=table, start=start, end=end), using=using)


def wall_parts(cursor: Any, table: str) -> None:
    """Walls the partitions that are not: a policy on the table does not hold for who names a partition."""
    cursor.execute(_PARTS, [table])
    for (part,) in cursor.fetchall():
        cursor.execute(row_security.wall(part)[0])


def older_than(table: str, moment: datetime) -> list[str]:
    """The months of a table that ended by `moment`, the oldest first; also those that are detached already."""
    pattern = re.compile(re.escape(table) + r"_(\d{4})_(\d\d)")
    with connections[OWNER].cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
            " AND starts_with(relname, %s) ORDER BY relname",
            [f"{table}_"],
        )
        found = [pattern.fullmatch(name) for (name,) in cursor.fetchall()]
    return [month[0] for month in found if month and _end(int(month[1]), int(month[2])) <= moment]


def count(part: str) -> int:
    """How many rows a partition holds."""
    with connections[OWNER].cursor() as cursor:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(part)))
        return int(cursor.fetchone()[0])


def drop(table: str, part: str) -> None:
    """Drops a month of a table; raises Busy. One that is gone already is no error.

    Detached first, in a transaction of its own: that takes the whole table for a moment, and removing the files of a
    large one takes longer. (CONCURRENTLY would not take it, but cannot where there is a default partition.)
    """
    _as_owner(lambda cursor: _detach(cursor, table, part))
    _as_owner(lambda cursor: cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(part))))


def _as_owner(run: Callable[[Any], Result], *, using: str = OWNER) -> Result:
    """`run(cursor)` in a transaction that waits for each lock only briefly, and is tried again."""
    for attempt in range(TRIES):
        if attempt:
            sleep(PAUSE_SECONDS)
        try:
            with transaction.atomic(using=using), connections[using].cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
                return run(cursor)
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable):
                raise
    raise Busy(f"Others kept their locks for {TRIES} tries.")


def _end(year: int, month: int) -> datetime:
    return months.begin(datetime(year, month, 1, tzinfo=UTC), ahead=1)


def _detach(cursor: Any, table: str, part: str) -> None:
    cursor.execute(
        "SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%s) AND inhparent = to_regclass(%s)",
        [part, table],
    )
    if cursor.fetchone() is not None:
        names = {"table": sql.Identifier(table), "part": sql.Identifier(part)}
        try:
            cursor.execute(sql.SQL("ALTER TABLE {table} DETACH PARTITION {part}").format(**names))
        except IntegrityError as error:
            raise Busy("Rows elsewhere still point at it.") from error


def _make(cursor: Any, *, table: str, start: datetime, end: datetime) -> None:
    """Adds one month, taking with it the rows that the default partition holds of it."""
    names = {
        "table": sql.Identifier(table),
        "default": sql.Identifier(f"{table}_default"),
        "month": sql.Identifier(f"{table}_{start:%Y_%m}"),
        "start": sql.Literal(str(floor(start))),
        "end": sql.Literal(str(floor(end))),
    }
    cursor.execute("SELECT to_regclass(%s)", [f"{table}_{start:%Y_%m}"])
    if cursor.fetchone() != (None,):
        return
    cursor.execute(
        sql.SQL(
            "CREATE TABLE {month} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES);"
            "WITH moved AS (DELETE FROM {default} WHERE id >= {start} AND id < {end} RETURNING *)"
            " INSERT INTO {month} SELECT * FROM moved;"
            "ALTER TABLE {table} ATTACH PARTITION {month} FOR VALUES FROM ({start}) TO ({end})"
        ).format(**names)
    )
    wall_parts(cursor, table)
