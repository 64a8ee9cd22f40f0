"""Admission on real Redis, and without it."""

import json
import math
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import standing
from apikeys import admission, copies, keys
from apikeys.admission import Lookup
from ragsite.lib import redis_client
from tests.apikeys.admitting import HERE, admit, refused
from tests.chaos import door, limits, storm
from tests.makers import Party, make_key
from tests.outages import redis_waited_for


def put_back(key: Any, seconds: float) -> None:
    """Lets a key's bucket believe that it was last used so long ago."""
    name = f"bucket:{key.pk}"
    at = float(redis_client.client().hget(name, "at"))  # type: ignore[arg-type]
    redis_client.client().hset(name, "at", str(int(at - seconds * 1000)))


def test_burst_then_refill(ours: Party) -> None:
    key, raw = make_key(ours.tenant, rate_limit=60, burst=5)
    answers = [admit(raw) for _ in range(6)]
    assert [answer.admitted for answer in answers] == [True] * 5 + [False]
    assert [math.floor(answer.tokens_left) for answer in answers] == [4, 3, 2, 1, 0, 0]
    assert 0 < answers[-1].retry_after <= 1
    assert 4 < answers[-1].full_after <= 5
    put_back(key, 2.0)
    assert [admit(raw).admitted for _ in range(3)] == [True, True, False]
    put_back(key, 3_600)  # never more than the burst
    assert [admit(raw).admitted for _ in range(6)] == [True] * 5 + [False]


@pytest.mark.parametrize("rate", [1, 7, 60, 90, 333, 1_000, 59_999])
def test_who_waits_as_told_is_let_in(ours: Party, rate: int) -> None:
    key, raw = make_key(ours.tenant, rate_limit=rate, burst=1)
    admit(raw)
    for _ in range(20):
        told = admit(raw)
        if told.admitted:
            continue
        put_back(key, told.retry_after)
        assert admit(raw).admitted


def test_refused_requests_cost_no_tokens(ours: Party) -> None:
    key, raw = make_key(ours.tenant, rate_limit=60, burst=1)
    admit(raw)
    for _ in range(50):
        assert not admit(raw).admitted
    put_back(key, 1.0)
    assert admit(raw).admitted


def test_concurrent_requests_share_one_bucket(ours: Party) -> None:
    _, raw = make_key(ours.tenant, rate_limit=1, burst=10)
    admit(raw)
    admitted: list[bool] = []
    threads = [threading.Thread(target=lambda: admitted.append(admit(raw).admitted)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert admitted.count(True) == 9


def test_known_and_unknown_keys_cost_postgres_one_look(
    ours: Party, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    unknown = keys.generate()
    copies.forget(ours.key.key_hash)
    for raw in (ours.raw, unknown):
        with django_assert_num_queries(1):
            admission.admit(keys.digest(raw), HERE)
        with django_assert_num_queries(0):
            admission.admit(keys.digest(raw), HERE)


def test_copy_in_redis_holds_no_secret(ours: Party) -> None:
    admit(ours.raw)
    client = redis_client.client()
    for name in client.scan_iter():
        assert ours.raw not in name.decode()
        if client.type(name) == b"string":
            assert ours.raw.encode() not in (client.dump(name) or b"")
    assert client.ttl(f"key:{ours.key.key_hash}") <= copies.COPY_SECONDS


def test_key_that_was_tried_before_it_was_made(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = keys.generate()
    assert refused(raw)
    monkeypatch.setattr(keys, "generate", lambda: raw)
    make_key(ours.tenant)
    copies.forget(keys.digest(raw))  # what the commit does
    assert admit(raw).admitted


def test_expiry_takes_effect_on_the_copy(ours: Party) -> None:
    _, raw = make_key(ours.tenant, expires_at=timezone.now() + timedelta(milliseconds=300))
    assert admit(raw).admitted
    time.sleep(0.35)
    assert refused(raw)


# Changes, and requests that race with them ---------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_revocation_takes_effect_at_once(ours: Party) -> None:
    assert admit(ours.raw).admitted
    keys.revoke(ours.key)
    assert refused(ours.raw)
    redis_client.client().flushdb()
    assert refused(ours.raw)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["revoke", "rotate", "slow down"])
def test_request_that_read_the_old_key_does_not_put_it_back(
    ours: Party, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The request reads Postgres, then the change is committed, then the request keeps what it read."""
    read = copies.of
    changes = iter([True])

    def slowly(key_hash: str) -> Any:
        record = read(key_hash)
        if next(changes, False):
            changed(change)
        return record

    def changed(how: str) -> None:
        if how == "revoke":
            keys.revoke(ours.key)
        elif how == "rotate":
            keys.rotate(ours.key)
        else:
            type(ours.key).objects.for_tenant(ours.tenant).filter(pk=ours.key.pk).update(
                burst=1, rate_limit=1
            )
            copies.forget(ours.key.key_hash)

    copies.forget(ours.key.key_hash)
    monkeypatch.setattr(copies, "of", slowly)
    first = admission.admit(ours.key.key_hash, HERE)
    if change == "slow down":
        assert first is not None
        assert first.burst == 1
        assert not admit(ours.raw).admitted
    else:
        assert first is None
        assert refused(ours.raw)


@pytest.mark.django_db(transaction=True)
def test_crash_after_the_commit_of_a_revocation(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before the commit: the process that dies before it can say so again has said it once."""
    admit(ours.raw)
    told: list[str] = []
    refuse = copies.refuse

    def once(key_hash: str) -> None:
        if told:
            raise SystemExit
        told.append(key_hash)
        refuse(key_hash)

    monkeypatch.setattr(copies, "refuse", once)
    with pytest.raises(SystemExit):
        keys.revoke(ours.key)
    assert refused(ours.raw)


@pytest.mark.django_db(transaction=True)
def test_rotation_with_and_without_overlap(ours: Party) -> None:
    collections: list[Any] = []
    old, raw = make_key(ours.tenant, collection_ids=collections, networks=["10.0.0.0/8"], scopes=["query"])
    new, new_raw = keys.rotate(old, overlap=timedelta(milliseconds=400))
    assert new_raw != raw
    assert (new.restricted, new.networks, new.scopes, new.rotated_from_id) == (
        True,
        ["10.0.0.0/8"],
        ["query"],
        old.pk,
    )
    inside = Lookup(address="10.1.1.1")
    assert admit(raw, inside).admitted
    assert admit(new_raw, inside).caller.collections == ()
    time.sleep(0.45)
    assert refused(raw)
    _, newest_raw = keys.rotate(new)
    assert refused(new_raw)
    assert admit(newest_raw, inside).admitted


@pytest.mark.django_db(transaction=True)
def test_closed_tenant_is_refused_at_once(ours: Party) -> None:
    assert admit(ours.raw).admitted
    ours.tenant.active = False
    ours.tenant.save()
    standing.changed(ours.tenant)
    assert refused(ours.raw)
    ours.tenant.active = True
    ours.tenant.save()
    standing.changed(ours.tenant)
    assert admit(ours.raw).admitted


def test_record_in_redis_is_what_the_script_reads(ours: Party) -> None:
    admit(ours.raw)
    record = json.loads(redis_client.client().get(f"key:{ours.key.key_hash}") or b"")
    assert record == {
        "key": str(ours.key.pk),
        "tenant": str(ours.tenant.pk),
        "owner": str(ours.business.pk),
        "scopes": ["ingest", "query"],
        "collections": None,
        "rights": "all",
        "networks": [],
        "rate": 60_000,
        "burst": 10_000,
    }


@pytest.mark.django_db(transaction=True)
def test_64_threads_share_one_bucket(ours: Party) -> None:
    key, _ = make_key(ours.tenant, rate_limit=storm.PER_MINUTE, burst=storm.BURST)
    plan = storm.Plan([key.key_hash], storm.THREADS, time.time() + 1.2, 2.0)
    with redis_waited_for():  # a limit is exact as long as Redis answers
        report = limits.storm_report(door.carry_out(plan), plan=plan)
    assert report.held, "\n".join(report.faults)
