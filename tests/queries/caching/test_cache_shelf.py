"""How long a tenant's answers are kept, how much room they have, and that what is known of them is true."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from accounts import corpus
from accounts.models import Tenant
from apikeys import admission
from apikeys.admission import Lookup
from apikeys.callers import Caller
from queries.answers import Ask
from queries.caching import cache
from queries.caching.cache import Name
from ragsite.lib import compact, redis_client
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, fresh
from tests.outages import redis_waited_for

pytestmark = pytest.mark.django_db

ANSWER = {"answer": "x" * 900}
SIZE = 16 + 36 + 913  # seal, id, and the answer as JSON


@pytest.fixture(autouse=True)
def redis_has_time() -> Iterator[None]:
    with redis_waited_for():
        yield


def limit(tenant: Tenant, **limits: int) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(**{f"cache_{name}": value for name, value in limits.items()})


def named(tenant: Tenant, number: int, *, version: int = 0) -> Name:
    return cache.name(Caller(tenant_id=tenant.pk), version, cache.digest(Ask(f"Question {number}?")))


def keep(tenant: Tenant, number: int, *, version: int = 0, **more: Any) -> None:
    time.sleep(0.002)  # what was used in one millisecond is in no order
    name, within = named(tenant, number, version=version), cache.limits(fresh(tenant))
    cache.keep(name, within, query_id=uuid7(), body=compact.encoded({**ANSWER, **more}))


def is_kept(tenant: Tenant, number: int, *, version: int = 0) -> bool:
    return bool(redis_client.client().exists(str(named(tenant, number, version=version))))


def shelf(tenant: Tenant) -> dict[str, Any]:
    numbers = cache.statistics(fresh(tenant))
    return {name: numbers[name] for name in ("entries", "bytes", "evictions")}


def true_numbers(tenant: Tenant) -> tuple[int, int]:
    """What is really there: entries and bytes."""
    redis = redis_client.client()
    sizes = [redis.strlen(name) for name in redis.scan_iter(f"answer:{tenant.pk}:*", count=1000)]
    return len(sizes), sum(int(size) for size in sizes)


def use_by_key(party: Party, number: int) -> None:
    """As a request with a key: admission looks."""
    redis_client.client().hset(f"corpus:{party.tenant.pk}", "version", 0)
    asked = Lookup(
        address="127.0.0.1", digest=cache.digest(Ask(f"Question {number}?")), request_id=str(uuid7())
    )
    found = admission.admit(party.key.key_hash, asked)
    assert found is not None
    assert found.stored is not None


def use_by_person(party: Party, number: int) -> None:
    assert cache.find(named(party.tenant, number)) is not None


@pytest.mark.parametrize("use", [use_by_key, use_by_person])
def test_the_ones_not_used_for_longest_make_way(ours: Party, theirs: Party, use: Any) -> None:
    limit(ours.tenant, bytes=4 * SIZE)
    keep(theirs.tenant, 0)
    for number in range(4):
        keep(ours.tenant, number)
        time.sleep(0.002)  # uses are told apart by milliseconds
    use(ours, 0)
    for number in (4, 5):
        time.sleep(0.002)
        keep(ours.tenant, number)
    assert [number for number in range(6) if is_kept(ours.tenant, number)] == [0, 3, 4, 5]
    assert shelf(ours.tenant) == {"entries": 4, "bytes": 4 * SIZE, "evictions": 2}
    assert shelf(theirs.tenant) == {"entries": 1, "bytes": SIZE, "evictions": 0}


def test_an_answer_larger_than_the_room_is_not_kept_and_drives_nothing_out(ours: Party) -> None:
    limit(ours.tenant, bytes=3 * SIZE)
    keep(ours.tenant, 1)
    keep(ours.tenant, 2, more="y" * 4 * SIZE)
    assert shelf(ours.tenant) == {"entries": 1, "bytes": SIZE, "evictions": 0}


@pytest.mark.parametrize("limits", [{"bytes": 0}, {"seconds": 0}])
def test_a_tenant_may_keep_none(ours: Party, limits: dict[str, int]) -> None:
    limit(ours.tenant, **limits)
    keep(ours.tenant, 1)
    assert true_numbers(ours.tenant) == (0, 0)


def test_limits_hold_within_the_sites(ours: Party, settings: Settings) -> None:
    settings.ANSWER_CACHE_SECONDS, settings.ANSWER_CACHE_BYTES = 60, 1_000
    settings.ANSWER_CACHE_MAX_SECONDS, settings.ANSWER_CACHE_MAX_BYTES = 100, 2_000
    assert cache.limits(fresh(ours.tenant)) == (60, 1_000)
    limit(ours.tenant, seconds=80, bytes=1_500)
    assert cache.limits(fresh(ours.tenant)) == (80, 1_500)
    limit(ours.tenant, seconds=10_000, bytes=10_000)
    assert cache.limits(fresh(ours.tenant)) == (100, 2_000)


def test_an_answer_lives_as_long_as_its_tenant_says(ours: Party) -> None:
    limit(ours.tenant, seconds=1)
    keep(ours.tenant, 1)
    assert is_kept(ours.tenant, 1)
    deadline = time.monotonic() + 20
    while is_kept(ours.tenant, 1):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert shelf(ours.tenant) == {"entries": 0, "bytes": 0, "evictions": 0}


def test_answers_of_older_versions_make_way_at_once(
    ours: Party, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    for number in range(5):
        keep(ours.tenant, number)
    with django_capture_on_commit_callbacks(execute=True):
        corpus.bump(ours.tenant.pk)
    keep(ours.tenant, 9, version=1)
    assert true_numbers(ours.tenant) == (1, SIZE)
    with django_capture_on_commit_callbacks(execute=True):
        corpus.bump(ours.tenant.pk)
    assert shelf(ours.tenant) == {"entries": 0, "bytes": 0, "evictions": 0}
    keep(ours.tenant, 9, version=1)  # made when the corpus was another
    assert true_numbers(ours.tenant) == (0, 0)


def test_a_large_shelf_is_cleared_in_pieces(
    ours: Party,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        cache, "limits", lambda _: cache.Limits(60, 10**9)
    )  # saves as many questions to Postgres
    for number in range(1_050):
        keep(ours.tenant, number)
    with django_capture_on_commit_callbacks(execute=True):
        corpus.bump(ours.tenant.pk)
    keep(ours.tenant, 1, version=1)
    assert true_numbers(ours.tenant)[0] == 51
    assert shelf(ours.tenant)["entries"] == 1
    cache.forget(ours.tenant.pk)
    assert true_numbers(ours.tenant) == (0, 0)


def test_what_is_known_of_the_shelf_is_true_whatever_happens(ours: Party) -> None:
    """600 things that may happen, in any order."""
    chance = random.Random(7)
    limit(ours.tenant, bytes=12 * SIZE)
    redis, version = redis_client.client(), 0
    for _ in range(600):
        number = chance.randrange(20)
        match chance.choices(["keep", "use", "change", "end"], [60, 30, 3, 7])[0]:
            case "keep":
                keep(ours.tenant, number, version=version, more="z" * chance.randrange(2_000))
            case "use":
                cache.find(named(ours.tenant, number, version=version))
            case "change":
                version += 1
                Tenant.objects.filter(pk=ours.tenant.pk).update(corpus_version=version)
            case _:
                _end(ours.tenant, named(ours.tenant, number, version=version))
        if chance.random() < 0.2:
            told = shelf(ours.tenant)
            assert (told["entries"], told["bytes"]) == true_numbers(ours.tenant)
            assert told["bytes"] <= 12 * SIZE
    assert {redis.zcard(name) for name in cache._shelf(ours.tenant.pk)[:2]} == {told["entries"]}


def _end(tenant: Tenant, name: Name) -> None:
    """As its time to live does."""
    redis = redis_client.client()
    redis.delete(str(name))
    redis.zadd(cache._shelf(tenant.pk)[1], {name.entry: 0}, xx=True)


def test_a_lost_redis_heals_itself(ours: Party) -> None:
    redis = redis_client.client()
    for number in range(3):
        keep(ours.tenant, number)
    redis.flushdb()
    assert shelf(ours.tenant) == {"entries": 0, "bytes": 0, "evictions": 0}
    for number in range(3):
        keep(ours.tenant, number)
    redis.delete(*cache._shelf(ours.tenant.pk))  # a part is lost: what it told of ends by its time to live
    assert shelf(ours.tenant)["entries"] == 0
    assert cache.find(named(ours.tenant, 1)) is not None
    keep(ours.tenant, 1)
    assert shelf(ours.tenant) == {"entries": 1, "bytes": SIZE, "evictions": 0}
    redis.delete(*(str(named(ours.tenant, number)) for number in range(3)))  # the other part
    assert cache.find(named(ours.tenant, 1)) is None
    keep(ours.tenant, 1)
    assert shelf(ours.tenant) == {"entries": 1, "bytes": SIZE, "evictions": 0}


def test_the_numbers_are_shown_to_business_users(ours: Party) -> None:
    limit(ours.tenant, seconds=90, bytes=2 * SIZE)
    for number in range(3):
        keep(ours.tenant, number)
    cache.find(named(ours.tenant, 2))
    cache.find(named(ours.tenant, 0))
    assert ours.business_client.get("/api/cache").json() == {
        "hits": 1,
        "misses": 1,
        "hit_rate": 0.5,
        "entries": 2,
        "bytes": 2 * SIZE,
        "limit_bytes": 2 * SIZE,
        "ttl_seconds": 90,
        "evictions": 1,
    }
