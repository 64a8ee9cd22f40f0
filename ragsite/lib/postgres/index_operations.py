"""Migrations that make and drop indexes beside people who are at work; for a migration with `atomic = False`."""

from typing import Any

from django.contrib.postgres import operations
from django.db.migrations.operations.base import Operation

from ragsite.lib import row_security


class _Alone(Operation):
    """Sent outside any scope, and so without the statement that tells Postgres of one: CONCURRENTLY stands alone."""

    def database_forwards(self, *args: Any, **kwargs: Any) -> None:
        with row_security.nobody():
            super().database_forwards(*args, **kwargs)

    def database_backwards(self, *args: Any, **kwargs: Any) -> None:
        with row_security.nobody():
            super().database_backwards(*args, **kwargs)


class AddIndex(_Alone, operations.AddIndexConcurrently):
    """Makes an index while rows are read and written."""


class RemoveIndex(_Alone, operations.RemoveIndexConcurrently):
    """Drops an index while rows are read and written."""
