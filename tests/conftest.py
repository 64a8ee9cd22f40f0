"""Fixtures: two tenants with people and keys, clients for each, and an empty Redis for every test."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from accounts.models import Tenant
from ragsite.lib import redis_client, row_security
from ragsite.lib.inference import local_model
from ragsite.lib.inference.local_model import Precision
from ragsite.static_files import StaticFiles
from tests.makers import Party, make_party


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def local_model_is_prepared() -> None:
    local_model.prepare(settings.DATA_DIR / "models", precision=Precision(settings.EMBEDDING_PRECISION))


@pytest.fixture(scope="session", autouse=True)
def static_files_are_looked_for_once() -> Iterator[None]:
    """Each test's client is a site of its own, and would look through all of them."""
    found = StaticFiles(lambda _: None).files
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFiles, "add_files_from_finders", lambda site: site.files.update(found))
        yield


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, django_test_environment: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """The test database is made by the role that owns its tables, and used by the one that serves."""
    serving = {name: connections["default"].settings_dict[name] for name in ("USER", "PASSWORD")}
    owning = {name: connections["owner"].settings_dict[name] for name in ("USER", "PASSWORD")}
    with django_db_blocker.unblock():
        _become(owning)
        made = setup_databases(verbosity=0, interactive=False)
        with connections["owner"].cursor() as cursor:  # to empty them after a test that commits
            cursor.execute(f'GRANT TRUNCATE ON ALL TABLES IN SCHEMA public TO "{serving["USER"]}"')
        _become(serving)
        yield
        connections["owner"].close()
        _become(owning)
        teardown_databases(made, verbosity=0)


def _become(role: dict[str, str]) -> None:
    connection: Any = connections["default"]
    connection.close()
    connection.close_pool()
    connection.settings_dict.update(role)


@pytest.fixture(autouse=True)
def as_operator() -> Iterator[None]:
    """What a test itself asks of the database crosses tenants; a request that it makes does not."""
    with row_security.across():
        yield


@pytest.fixture(autouse=True)
def empty_redis() -> Iterator[None]:
    redis_client.client().flushdb()
    yield
    redis_client.client().flushdb()


@pytest.fixture
def ours(db: None) -> Party:
    return make_party("ours")


@pytest.fixture
def theirs(db: None) -> Party:
    return make_party("theirs")


@pytest.fixture
def tenant(ours: Party) -> Tenant:
    return ours.tenant


@pytest.fixture
def anonymous() -> APIClient:
    return APIClient()
