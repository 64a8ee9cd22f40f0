"""The name that Django looks for in a database backend."""

from collections.abc import Callable
from typing import Any

from django.db.backends.postgresql import base
from psycopg.sql import Composable

from ragsite.lib import row_security

# These move within a transaction, touch no row, and must work in one that has failed.
_SAVEPOINTS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


class DatabaseWrapper(base.DatabaseWrapper):
    """Sends each statement behind one that names its tenant, in the same message.

    Django binds parameters on the client, so that both go out as one simple query: one round trip, and one transaction
    where none is open. What a statement may touch is thus settled by the thread that runs it, whatever the pooled
    connection was used for before.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(_scoped)


def _scoped(
    execute: Callable[..., Any],
    statement: Any,
    parameters: Any,
    many: bool,  # noqa: FBT001  Django's signature
    context: dict[str, Any],
) -> Any:
    connection, cursor = context["connection"], context["cursor"]
    if isinstance(statement, Composable):
        statement = statement.as_string(connection.connection)
    # Outside of a transaction a scope that nobody set was not set before either. Whatever refuses to be one of two
    # statements (CREATE INDEX CONCURRENTLY) can be run so.
    silent = not connection.in_atomic_block and not row_security.is_set()
    if silent or statement.startswith(_SAVEPOINTS):
        return execute(statement, parameters, many, context)
    if many:
        raise NotImplementedError(
            "executemany cannot say whose rows it touches; use one statement over arrays"
        )
    result = execute(f"{row_security.scope_statement()}; {statement}", parameters, many, context)
    cursor.nextset()
    return result
