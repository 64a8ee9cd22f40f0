"""The two walls between tenants, the application's filter and row-level security, and how a test takes one down."""

import importlib
import pkgutil
import re
from typing import Any

import pytest
from django.db import connection

from accounts.tenancy import TenantQuerySet
from documents import search
from queries import history

BOTH, FILTER, DATABASE, NEITHER = "both", "filter only", "database only", "neither"
# SQL of our own that names the tenant: (module, the constant's name).
RAW = ((search, "_STATEMENT"), (history, "_COPY"))
_TENANT = re.compile(r"\b(?:\w+\.)?tenant_id = %\(tenant\)s")


def stand(wall: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves up the walls that are named. What the test needs has to be there already."""
    if wall == DATABASE and not protected():
        pytest.skip("no table of a tenant's rows has row-level security (pg_class.relrowsecurity) yet")
    if wall in {DATABASE, NEITHER}:
        take_filter_out(monkeypatch)
    if wall in {FILTER, NEITHER}:
        take_row_level_security_out()


def take_filter_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every query forgets its tenant."""

    def for_tenant(rows: TenantQuerySet[Any], tenant: object) -> TenantQuerySet[Any]:
        return rows.all()

    monkeypatch.setattr(TenantQuerySet, "for_tenant", for_tenant)
    for module, name in RAW:
        statement, places = _TENANT.subn("true", getattr(module, name))
        assert places, f"{name} names no tenant any more"
        monkeypatch.setattr(module, name, statement)


def take_row_level_security_out() -> None:
    """Until the test's transaction is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks outstanding cannot be altered
        for table in protected():
            cursor.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY')


def protected() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relrowsecurity AND relkind IN ('r', 'p') ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def statements() -> set[str]:
    """Constants of the apps' modules that are SQL with the tenant as a parameter."""
    found = set()
    for app in ("accounts", "apikeys", "documents", "queries"):
        for info in pkgutil.iter_modules(importlib.import_module(app).__path__, f"{app}."):
            module = None if info.ispkg else importlib.import_module(info.name)
            for name, value in vars(module).items() if module else ():
                if isinstance(value, str) and _TENANT.search(value):
                    found.add(f"{info.name}.{name}")
    return found
