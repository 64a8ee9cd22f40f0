"""Fixtures: two tenants with people and keys, clients for each, and an empty Redis for every test."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from accounts.models import Tenant
from ragsite.lib import local_model, redis_client
from ragsite.lib.local_model import Precision
from tests.makers import Party, make_party


@pytest.fixture(scope="session", autouse=True)
def local_model_is_prepared() -> None:
    local_model.prepare(settings.DATA_DIR / "models", precision=Precision(settings.EMBEDDING_PRECISION))


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
