"""The version of a corpus, as the answer cache sees it."""

import pytest
from redis import Redis

from accounts import corpus
from accounts.models import Tenant
from ragsite.lib import redis_client


@pytest.fixture
def redis() -> Redis:
    return redis_client.client()


@pytest.mark.django_db(transaction=True)
def test_a_change_raises_the_version_once_it_is_committed(tenant: Tenant) -> None:
    before = corpus.version(tenant.pk)
    assert before is not None
    corpus.bump(tenant.pk)
    assert corpus.version(tenant.pk) == before + 1


@pytest.mark.django_db(transaction=True)
def test_while_a_change_is_pending_there_is_no_version(tenant: Tenant, redis: Redis) -> None:
    version = corpus.version(tenant.pk)
    assert version is not None
    redis.hset(f"corpus:{tenant.pk}", "pending", version + 1)
    assert corpus.version(tenant.pk) is None


@pytest.mark.django_db(transaction=True)
def test_looking_does_not_keep_alive_what_an_interrupted_change_left(tenant: Tenant, redis: Redis) -> None:
    corpus.version(tenant.pk)
    redis.expire(f"corpus:{tenant.pk}", 7)
    corpus.version(tenant.pk)
    assert 0 < redis.ttl(f"corpus:{tenant.pk}") <= 7


@pytest.mark.django_db(transaction=True)
def test_a_deleted_tenant_has_no_version(tenant: Tenant) -> None:
    gone = tenant.pk
    Tenant.objects.filter(pk=gone).delete()
    assert corpus.version(gone) is None
