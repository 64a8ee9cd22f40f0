"""Row-level security: the second wall between tenants, which Postgres keeps when a query forgets its tenant.

Every statement that goes through Django tells Postgres whose rows it may touch (`ragsite.lib.postgres`), for its own
transaction and no longer, and a policy on every tenant-owned table holds it to that. A statement that nobody said
anything for sees no rows and writes none. The first wall is the application's own filter, `for_tenant`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple
from uuid import UUID

from psycopg import sql


class _Scope(NamedTuple):
    """Whose rows may be touched: one tenant's, by its id, or all tenants' where `across` is "on"."""

    tenant: str = ""
    across: str = ""


_NOBODY, _EVERYBODY = _Scope(), _Scope(across="on")

# A thread begins with nobody's rows.
_scope: ContextVar[_Scope] = ContextVar("ragsite.row_security", default=_NOBODY)


@contextmanager
def within(tenant_id: UUID) -> Iterator[None]:
    """What runs in the block touches this tenant's rows alone."""
    with _scoped(_Scope(str(tenant_id))):
        yield


@contextmanager
def across() -> Iterator[None]:
    """What runs in the block crosses tenants: an operator's page or command, a worker that looks for work."""
    with _scoped(_EVERYBODY):
        yield


@contextmanager
def nobody() -> Iterator[None]:
    """What runs in the block sees no tenant's rows until it says whose; whatever it says ends with the block."""
    with _scoped(_NOBODY):
        yield


@contextmanager
def _scoped(scope: _Scope) -> Iterator[None]:
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


def enter(tenant_id: UUID) -> None:
    """From here on within this tenant: for a request, whose middleware ends it; see `nobody`."""
    _scope.set(_Scope(str(tenant_id)))


def enter_across() -> None:
    """As `enter`, for an operator's page."""
    _scope.set(_EVERYBODY)


def is_set() -> bool:
    return _scope.get() != _NOBODY


def scope_statement() -> str:
    """The statement that tells Postgres, for this transaction only. A UUID's text and a constant: nothing to escape."""
    scope = _scope.get()
    return (
        f"SELECT set_config('ragsite.tenant', '{scope.tenant}', true),"
        f" set_config('ragsite.across', '{scope.across}', true)"
    )


# What migrations do to a table ---------------------------------------------------------------------------------

# As sub-selects Postgres works them out once a statement; bare calls it would make anew for every row. After a
# transaction that set it, the variable is an empty string and not null.
_POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (
    {column} = (SELECT nullif(current_setting('ragsite.tenant', true), '')::uuid)
    OR (SELECT current_setting('ragsite.across', true)) = 'on'
);
"""
_NO_POLICY = """
DROP POLICY tenant ON {table};
ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
"""
# The id alone would let a row point at another tenant's.
_FOREIGN_KEY = """
ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (tenant_id, {column}) REFERENCES {target} (tenant_id, id)
DEFERRABLE INITIALLY DEFERRED;
"""
_NO_FOREIGN_KEY = "ALTER TABLE {table} DROP CONSTRAINT {name};"


def wall(table: str, *, column: str = "tenant_id") -> tuple[str, str]:
    """Forces the policy on a table, its owner included; and the way back."""
    names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
    return _text(_POLICY, names), _text(_NO_POLICY, names)


def foreign_key(table: str, column: str, target: str) -> tuple[str, str]:
    """Lets a row point at rows of its own tenant only; `target` is unique over (tenant_id, id). And the way back."""
    names = {
        "table": sql.Identifier(table),
        "name": sql.Identifier(f"{table}_{column}_of_tenant"),
        "column": sql.Identifier(column),
        "target": sql.Identifier(target),
    }
    return _text(_FOREIGN_KEY, names), _text(_NO_FOREIGN_KEY, names)


def _text(statement: str, names: dict[str, sql.Identifier]) -> str:
    return sql.SQL(statement).format(**names).as_string()
