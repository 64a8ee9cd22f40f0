"""What is uploaded is there once, and all of it, whatever is killed: in small; `make chaos` has the same at its whole size."""

from collections.abc import Iterator

import pytest

from tests.chaos import ingestion, stage
from tests.chaos.report import Report
from tests.chaos.stage import Stage

pytestmark = pytest.mark.long


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
