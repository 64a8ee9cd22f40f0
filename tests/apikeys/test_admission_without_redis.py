"""Redis dead or hanging: keys are verified in Postgres, and nobody waits."""

import os
import signal
import time
from pathlib import Path

import pytest
from django.test import Client

from apikeys import admission, keys
from ragsite.lib import redis_client
from tests.apikeys.admitting import admit, refused
from tests.makers import Party, make_key
from tests.outages import redis_of_its_own, redis_refused
from tests.problems import problem


@pytest.fixture(autouse=True)
def empty_buckets() -> None:
    admission.buckets.forget()


def test_without_redis_keys_are_verified_in_postgres(ours: Party) -> None:
    with redis_refused():
        found = admit(ours.raw)
        assert found.caller.tenant_id == ours.tenant.pk
        assert found.corpus_version is None
        assert found.stored is None
        assert refused(keys.generate())
        keys.revoke(ours.key)
        assert refused(ours.raw)


def test_without_redis_a_local_bucket_limits(ours: Party) -> None:
    _, raw = make_key(ours.tenant, rate_limit=60, burst=3)
    with redis_refused():
        answers = [admit(raw) for _ in range(4)]
        assert [answer.admitted for answer in answers] == [True, True, True, False]
        assert 0 < answers[-1].retry_after <= 1
        assert 2 < answers[-1].full_after <= 3
        response = Client(HTTP_X_API_KEY=raw).get("/api/keys/self")
        problem(response, 429, "rate_limited")
        assert response["Retry-After"] == "1"


def test_refused_redis_costs_no_time(ours: Party) -> None:
    with redis_refused():
        started = time.perf_counter()
        for _ in range(50):
            assert admit(ours.raw).admitted
        assert time.perf_counter() - started < 2


def test_hanging_redis_is_left_alone_and_found_again(ours: Party, tmp_path: Path) -> None:
    with redis_of_its_own(tmp_path) as process:
        assert admit(ours.raw).full_after > 0
        os.kill(process.pid, signal.SIGSTOP)
        waits = []
        for _ in range(10):
            started = time.perf_counter()
            assert admit(ours.raw).admitted
            waits.append(time.perf_counter() - started)
        assert max(waits) < 1
        assert sum(waits) < 2  # three time-outs of 100 ms, and then the breaker
        assert redis_client._breaker.state == "open"
        os.kill(process.pid, signal.SIGCONT)
        deadline = time.monotonic() + 5
        while redis_client._breaker.state != "closed" and time.monotonic() < deadline:
            admit(ours.raw)
            time.sleep(0.05)
        assert redis_client._breaker.state == "closed"
        assert redis_client.client().exists(f"bucket:{ours.key.pk}")


def test_a_bucket_is_not_full_again_because_redis_is_gone(ours: Party) -> None:
    _, raw = make_key(ours.tenant, rate_limit=1, burst=3)
    assert [admit(raw).admitted for _ in range(4)] == [True, True, True, False]
    with redis_refused():
        assert not admit(raw).admitted
