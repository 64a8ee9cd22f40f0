"""Rows into a table by binary COPY."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection
from pgvector.psycopg import register_vector


def copy(table: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Appends rows; `columns` has their types by name. The names come from code, never from a caller's data.

    Must run in a transaction. By way of a temporary table: Postgres refuses a COPY into one with row-level security.
    """
    staged, names = stage(table, columns, rows), ", ".join(columns)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {staged}")  # noqa: S608  names from code


def stage(name: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> str:
    """Puts rows into a temporary table, as `copy` does on its way, and returns what it is called."""
    staged = f"staged_{name}"
    connection.ensure_connection()
    # Before the cursor is made: it takes the types that are known then.
    register_vector(connection.connection)
    with connection.cursor() as cursor:
        # It stays for the session, and is emptied by each commit: making and dropping one for every document would
        # bloat Postgres's own catalogs.
        cursor.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {staged} ({_definitions(columns)}) ON COMMIT DELETE ROWS"
        )
        cursor.execute(f"DELETE FROM {staged}")  # noqa: S608  names from code
        with cursor.copy(f"COPY {staged} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copying:
            copying.set_types(list(columns.values()))
            for row in rows:
                copying.write_row(row)
    return staged


def _definitions(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())
