"""Monthly partitions of the tables whose primary keys are version 7 ids: a month is a range of ids.

Only the tables' owner can add one, which is not the role that serves requests: all of it runs on `owner`.
"""

from datetime import UTC, datetime

from django.db import connections, transaction
from django.utils import timezone
from psycopg import sql

from ragsite.lib import row_security
from ragsite.lib.identifiers import floor

OWNER = "owner"
MONTHS_AHEAD = 3

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
    """Makes the partitions of this month and the next ones, where they are missing."""
    now = timezone.now().astimezone(UTC)
    with row_security.across():  # rows move between partitions, whoever's they are
        for ahead in range(MONTHS_AHEAD + 1):
            _make(table, _month(now, ahead), _month(now, ahead + 1), using=using)


def wall_parts(table: str, *, using: str = OWNER) -> None:
    """Walls the partitions that are not: a policy on the table does not hold for who names a partition."""
    with connections[using].cursor() as cursor:
        cursor.execute(_PARTS, [table])
        for (part,) in cursor.fetchall():
            cursor.execute(row_security.wall(part)[0])


def _month(moment: datetime, ahead: int) -> datetime:
    months = moment.year * 12 + moment.month - 1 + ahead
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def _make(table: str, start: datetime, end: datetime, *, using: str) -> None:
    """Adds one month, taking with it the rows that the default partition holds of it."""
    names = {
        "table": sql.Identifier(table),
        "default": sql.Identifier(f"{table}_default"),
        "month": sql.Identifier(f"{table}_{start:%Y_%m}"),
        "start": sql.Literal(str(floor(start))),
        "end": sql.Literal(str(floor(end))),
    }
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
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
        wall_parts(table, using=using)
