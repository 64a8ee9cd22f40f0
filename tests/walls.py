"""The two walls between tenants, the application's filter and row-level security, and how a test takes one down."""

import importlib
import pkgutil
import re
from typing import Any

import pytest

from accounts.tenancy import TenantQuerySet
from documents.searching import retrieval, survey
from ragsite.lib import row_security
from webhooks import outbox

BOTH, FILTER, DATABASE, NEITHER = "both", "filter only", "database only", "neither"
# SQL of our own that names the tenant: (module, the constant's name).
RAW = (
    (survey, "_SURVEY"),
    (survey, "_IN_SCOPE"),
    (retrieval, "_STATEMENT"),
    (retrieval, "_DENSE_SCAN"),
    (retrieval, "_DENSE_SCAN_IN_SCOPE"),
    (retrieval, "_DENSE_INDEX"),
    (retrieval, "_LEXICAL_SCAN"),
    (outbox, "_LISTENING"),
)
_TENANT = re.compile(r"\b(?:\w+\.)?tenant_id = %\(tenant\)s")


def stand(wall: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves up the walls that are named. What the test needs has to be there already."""
    if wall in {DATABASE, NEITHER}:
        take_filter_out(monkeypatch)
    if wall in {FILTER, NEITHER}:
        take_row_level_security_out(monkeypatch)


def take_filter_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every query forgets its tenant."""

    def for_tenant(rows: TenantQuerySet[Any], tenant: object) -> TenantQuerySet[Any]:
        return rows.all()

    monkeypatch.setattr(TenantQuerySet, "for_tenant", for_tenant)
    for module, name in RAW:
        statement, places = _TENANT.subn("true", getattr(module, name))
        assert places, f"{name} names no tenant any more"
        monkeypatch.setattr(module, name, statement)


def take_row_level_security_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement announces that it crosses tenants, whoever's rows it may touch.

    To the application that is the same as tables without their policies, and takes neither the tables' owner nor a
    commit. The tenant goes on being announced: `documents_best_chunks` filters by it, and is no policy.
    """
    announced = row_security.scope_statement
    nobodys, everybodys = "'ragsite.across', ''", "'ragsite.across', 'on'"

    def scope_statement() -> str:
        told = announced().replace(nobodys, everybodys)
        assert everybodys in told, "row_security announces in other words now"
        return told

    monkeypatch.setattr(row_security, "scope_statement", scope_statement)
    monkeypatch.setattr(row_security, "is_set", lambda: True)


def statements() -> set[str]:
    """Constants of the apps' modules, those in packages too, that are SQL with the tenant as a parameter."""
    found = set()
    for app in ("accounts", "apikeys", "webhooks", "documents", "queries"):
        for info in pkgutil.walk_packages(importlib.import_module(app).__path__, f"{app}."):
            for name, value in vars(importlib.import_module(info.name)).items():
                if isinstance(value, str) and _TENANT.search(value):
                    found.add(f"{info.name}.{name}")
    return found
