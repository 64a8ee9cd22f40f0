"""Rows into a table by binary COPY."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection
from pgvector.psycopg import register_vector


def copy(table: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Appends rows; `columns` has their types by name. The names come from code, never from a caller's data."""
    connection.ensure_connection()
    register_vector(
        connection.connection
    )  # before the cursor is made: it takes the types that are known then
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(statement) as copying:
        copying.set_types(list(columns.values()))
        for row in rows:
            copying.write_row(row)
