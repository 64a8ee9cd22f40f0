"""Django's Postgres backend, which tells Postgres with each statement whose rows it may touch; its settings from a URL.

Beside it: `partitions` by month, `batches` of deletions, and `index_operations` for migrations on live tables.
"""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connection
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

OWNER = "owner"
"""The alias of the role that owns the tables; `default` serves, and owns none."""

DOWN = (OperationalError, InterfaceError)
"""What Django raises when Postgres cannot be had."""

# Of SQLSTATEs: a connection that failed, and a server that ends, starts, or lost one of its processes.
_AWAY = ("08", "57P")

_NAMES = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}


def database(url: str, *, statement_timeout_ms: int, pool_size: int = 0) -> dict[str, Any]:
    """An entry of DATABASES; what Django has no name for goes to libpq as it is. `pool_size` 0: no pool.

    Raises ImproperlyConfigured where the URL is none.
    """
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError as error:
        raise ImproperlyConfigured("A database's URL is not a postgresql:// URL") from error
    guards = (
        f"-c statement_timeout={statement_timeout_ms}"
        " -c idle_in_transaction_session_timeout=60000 -c lock_timeout=20000"
    )
    # A pool doubles its pauses between tries: after a long outage nobody would have a connection for as long again.
    # So it gives up soon, and tries at once when it is next asked for a connection.
    pool = {"min_size": 1, "max_size": pool_size, "timeout": 5, "reconnect_timeout": 2}
    return {
        "ENGINE": __name__,
        **{name: str(parts.pop(libpq, "")) for name, libpq in _NAMES.items()},
        "CONN_HEALTH_CHECKS": True,
        # A cursor on the server is declared by a statement that takes no other before it.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            **parts,
            "options": guards,
            **({"pool": pool} if pool_size else {}),
        },
    }


def give_back() -> None:
    """Puts this thread's connection back into the pool, before it waits; its next statement takes one again.

    Within a transaction it is kept: there is more than a connection to lose.
    """
    if connection.connection is not None and not connection.in_atomic_block and connection.get_autocommit():
        connection.close()


def is_away(error: Exception) -> bool:
    """Whether one of `DOWN` tells of a server that is gone, rather than of a statement that it gave up."""
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(_AWAY)
