"""Monthly partitions of the tables whose primary keys are version 7 ids: a month is a range of ids."""

from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from ragsite.lib import months
from ragsite.lib.identifiers import floor

MONTHS_AHEAD = 3

# Turns a table that Django just made into a partitioned one of the same columns. A row outside every month goes
# into the default partition: nothing is ever refused for want of one.
CONVERT = """
ALTER TABLE {table} RENAME TO {table}_plain;
CREATE TABLE {table} (LIKE {table}_plain INCLUDING ALL EXCLUDING INDEXES, PRIMARY KEY (id)) PARTITION BY RANGE (id);
DROP TABLE {table}_plain;
CREATE TABLE {table}_default PARTITION OF {table} DEFAULT;
"""


def make_ahead(table: str) -> None:
    """Makes the partitions of this month and the next ones, where they are missing."""
    now = timezone.now()
    for ahead in range(MONTHS_AHEAD + 1):
        _make(table, months.begin(now, ahead=ahead), months.begin(now, ahead=ahead + 1))


@transaction.atomic
def _make(table: str, start: datetime, end: datetime) -> None:
    """Adds one month, taking with it the rows that the default partition holds of it."""
    names = {
        "table": sql.Identifier(table),
        "default": sql.Identifier(f"{table}_default"),
        "month": sql.Identifier(f"{table}_{start:%Y_%m}"),
        "start": sql.Literal(str(floor(start))),
        "end": sql.Literal(str(floor(end))),
    }
    with connection.cursor() as cursor:
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
