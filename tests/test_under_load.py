"""Limits, revocation and records on a whole site under load, in small; `make chaos` has the same at its whole size."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import site
from tests.chaos import door, limits, records, revocation, storm, waiting
from tests.chaos.headers import Limit
from tests.chaos.report import Report
from tests.makers import Party, make_key
from tests.outages import redis_waited_for
from tests.site import Site


@pytest.fixture(scope="module")
def up() -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder)) as running,
    ):
        yield running


def holds(report: Report) -> None:
    assert report.held, "\n".join(report.faults)


def test_revoked_keys_are_dead_within_a_second(up: Site) -> None:
    holds(revocation.by_business(up, times=2, side_by_side=2))


def test_keys_ended_by_an_operator_are_dead_within_a_second(up: Site) -> None:
    holds(revocation.by_operator(up, times=2))


def test_rotation_with_overlap_fails_no_request(up: Site) -> None:
    holds(revocation.rotation(up, times=2, side_by_side=2))


def test_limits_are_exact_over_two_processes(up: Site) -> None:
    holds(limits.exact(up, seconds=3))


def test_who_waits_as_told_is_let_in_over_http(up: Site) -> None:
    wanted = [Limit(20, 1), Limit(60, 3), Limit(90, 2), Limit(333, 2)]
    holds(waiting.obedient(up, limits=wanted, seconds=4))


def test_kills_of_every_process_lose_and_double_no_record(up: Site) -> None:
    holds(records.complete(up, 160, victims=("web", "record", "postgres", "redis", "worker")))


@pytest.mark.django_db(transaction=True)
def test_64_threads_share_one_bucket(ours: Party) -> None:
    key, _ = make_key(ours.tenant, rate_limit=storm.PER_MINUTE, burst=storm.BURST)
    plan = storm.Plan([key.key_hash], storm.THREADS, time.time() + 1.2, 2.0)
    with redis_waited_for():  # a limit is exact as long as Redis answers
        rounds = door.carry_out(plan)
    holds(limits.storm_report(rounds, plan=plan))
