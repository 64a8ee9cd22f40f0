"""The cases of test_ingest_chaos.py on a site with bugs, where each has to find something stuck."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.chaos import ingestion, stage
from tests.chaos.report import Report
from tests.chaos.stage import Stage

pytestmark = pytest.mark.long

# A site that never looks for what was lost, never ends a lease, and never gives a file up; whose workers forget what an
# outage of Postgres broke off, and stay deaf after one of Redis. No case meets another's bug: each breaks one thing.
BUGS = {
    "SWEEP_SECONDS": "86400",
    "INGEST_LEASE_SECONDS": "86400",
    "INGEST_MAX_ATTEMPTS": "1000",
    "PLANTED": "documents.ingest._outlast",
    "WORKER_PATIENCE_SECONDS": "86400",
    "REDIS_TIMEOUT_MS": "5000",  # or a busy machine loses hints, and the site's own start waits for what it lost
}


@pytest.fixture(scope="module")
def site_with_bugs() -> Iterator[Stage]:
    with stage.stage(
        6.0, 1.0, **BUGS
    ) as made:  # so slow a model that a kill meets a worker that waits for it
        yield made


@pytest.fixture
def broken(site_with_bugs: Stage) -> Stage:
    put_aside(site_with_bugs)
    return site_with_bugs


def put_aside(on: Stage) -> None:
    """What an earlier case left is not stuck any more."""
    with psycopg.connect(on.database) as connection:
        connection.execute(
            "UPDATE documents_document SET status = 'failed', error_code = 'put_aside', stage = '', claim = NULL,"
            " leased_until = NULL WHERE status IN ('queued', 'processing')"
        )


def is_stuck(report: Report) -> bool:
    return any(fault.startswith("stuck: ") for fault in report.faults)


def test_killed_web_processes_leave_uploads_that_nobody_looks_for(broken: Stage) -> None:
    assert is_stuck(ingestion.web(broken, kills=2))


def test_poison_is_never_given_up(broken: Stage) -> None:
    faults = ingestion.poisoned(broken, uploads=4, poison_files=1).faults
    assert any(fault.startswith("poison: ") and "killer-1.txt, processing" in fault for fault in faults)


def test_killed_workers_leases_never_end(broken: Stage) -> None:
    assert is_stuck(ingestion.workers(broken, uploads=30, kills=3))


def test_what_an_outage_of_postgres_broke_off_is_forgotten(broken: Stage) -> None:
    assert is_stuck(ingestion.postgres(broken, uploads=30, kills=2))


def test_workers_stay_deaf(broken: Stage) -> None:
    report = ingestion.redis_restarts(broken, uploads=4, restarts=1)
    assert is_stuck(report)
    assert any(fault.startswith("a fresh upload took ") for fault in report.faults)
