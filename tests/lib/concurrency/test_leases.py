"""Leases: held while the work goes on, free soon after its process is gone, and no business of a former holder's."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ragsite.lib import redis_client
from ragsite.lib.concurrency import leases
from tests.outages import redis_waited_for
from tests.site import wait_for

LEASE_MS = 600


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(leases, "LEASE_SECONDS", LEASE_MS / 1000)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    with redis_waited_for():
        leases._keepers.forget()
        yield
        leases._keepers.forget()


def taken(name: str = "lease:a") -> leases.Lease:
    lease = leases.lease(name)
    assert redis_client.client().set(lease.name, lease.token, px=LEASE_MS, nx=True)
    return lease


def holder(name: str = "lease:a") -> Any:
    return redis_client.client().get(name)


def test_a_lease_lasts_as_long_as_its_work() -> None:
    lease = taken()
    leases.hold(lease, seconds=60)
    time.sleep(3 * LEASE_MS / 1000)
    assert holder() == lease.token.encode()
    leases.release(lease)
    assert holder() is None


def test_a_lease_whose_holder_is_gone_ends() -> None:
    lease = taken()
    leases.hold(lease, seconds=60)
    leases.drop(lease)  # as the death of its process does
    wait_for(lambda: holder() is None, seconds=20)


def test_nobody_holds_a_lease_for_ever() -> None:
    leases.hold(taken(), seconds=0.1)
    wait_for(lambda: holder() is None, seconds=20)


def test_a_former_holder_neither_extends_nor_ends_the_next_ones() -> None:
    former = taken()
    redis_client.client().delete(former.name)  # as it ends while its holder is stopped
    leases.hold(former, seconds=60)
    now = taken()
    leases.release(former)
    assert holder() == now.token.encode()
    leases.hold(former, seconds=60)
    wait_for(lambda: holder() is None, seconds=20)
    wait_for(lambda: not leases._keepers.get("")._held, seconds=20)
