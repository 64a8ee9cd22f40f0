"""What is uploaded is there once, and all of it, whatever is killed: in small; `make chaos` has the same at its whole size."""

from collections.abc import Iterator

import pytest

from tests.chaos import ingestion, stage
from tests.chaos.report import Report
from tests.chaos.stage import Stage


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with stage.stage() as made:
        yield made


def holds(report: Report) -> None:
    assert report.held, "\n".join(report.faults)


def test_killed_workers_lose_no_upload_and_repeat_little_work(on: Stage) -> None:
    holds(ingestion.workers(on, uploads=50, kills=5))


def test_a_web_process_that_is_killed_between_commit_and_publish_loses_no_upload(on: Stage) -> None:
    holds(ingestion.web(on, kills=25))


def test_a_redis_that_is_killed_and_loses_its_data_loses_no_upload(on: Stage) -> None:
    holds(ingestion.redis(on, uploads=50, kills=3, losses=1))


def test_after_each_restart_of_redis_an_upload_is_soon_ready(on: Stage) -> None:
    holds(ingestion.redis_restarts(on, uploads=50, restarts=5))


def test_a_postgres_that_is_killed_loses_no_upload(on: Stage) -> None:
    holds(ingestion.postgres(on, uploads=50, kills=3))


def test_poison_fails_alone(on: Stage) -> None:
    holds(ingestion.poisoned(on, uploads=50, poison_files=3))


# The same with bugs ------------------------------------------------------------------------------------------

# A site that never looks for what was lost, never ends a lease, and never gives a file up.
NEVER = {
    "SWEEP_SECONDS": "86400",
    "INGEST_LEASE_SECONDS": "86400",
    "INGEST_MAX_ATTEMPTS": "1000",
    "REDIS_TIMEOUT_MS": "5000",  # or a busy machine loses hints, and the site's own start waits for what it lost
}


def is_stuck(report: Report) -> bool:
    return any(fault.startswith("stuck: ") for fault in report.faults)


def test_a_site_that_never_looks_again_is_found_out() -> None:
    with stage.stage(patience=4, **NEVER) as broken:
        orphans = ingestion.web(broken, kills=2)
        poison = ingestion.poisoned(broken, uploads=4, poison_files=1).faults
        assert is_stuck(orphans)
        assert any(fault.startswith("poison: ") and "killer-1.txt, processing" in fault for fault in poison)
    with stage.stage(patience=4, **NEVER) as broken:
        assert is_stuck(ingestion.workers(broken, uploads=30, kills=3))


def test_a_worker_that_forgets_what_an_outage_broke_off_is_found_out() -> None:
    with stage.stage(patience=4, **NEVER, PLANTED="documents.ingest._outlast") as broken:
        assert is_stuck(ingestion.postgres(broken, uploads=30, kills=2))


def test_workers_that_stay_deaf_are_found_out() -> None:
    with stage.stage(patience=4, **NEVER, WORKER_PATIENCE_SECONDS="86400") as broken:
        report = ingestion.redis_restarts(broken, uploads=4, restarts=1)
    assert is_stuck(report)
    assert any(fault.startswith("a fresh upload took ") for fault in report.faults)
