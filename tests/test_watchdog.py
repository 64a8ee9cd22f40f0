"""A worker that is connected and takes nothing ends, so that it is started again; one that is well goes on."""

from pathlib import Path

import pytest

from documents import tasks
from documents.models import Document
from ragsite import watchdog
from ragsite.celery import app
from ragsite.lib import redis_client
from ragsite.watchdog import Watch
from tests.documents.workers import wait_until, worker
from tests.makers import Party, make_document


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("waiting", "busy", "taken", "stuck"),
    [(True, False, 7, True), (False, False, 7, False), (True, True, 7, False), (True, False, 8, False)],
)
def test_only_who_leaves_messages_alone_with_nothing_in_hand_is_stuck(
    *, waiting: bool, busy: bool, taken: int, stuck: bool
) -> None:
    clock = Clock()
    watch = Watch(patience=10, now=clock)
    assert not watch.is_stuck(waiting=True, busy=False, taken=7)
    clock.seconds = 9
    assert not watch.is_stuck(waiting=True, busy=False, taken=7)
    clock.seconds = 10
    assert watch.is_stuck(waiting=waiting, busy=busy, taken=taken) is stuck
    clock.seconds = 15  # what was well then starts with new patience
    assert watch.is_stuck(waiting=True, busy=False, taken=taken) is stuck


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_stops_consuming_ends_and_its_successor_does_the_work(
    ours: Party, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    document = make_document(ours.tenant, "Tea at four.")

    def is_ready() -> bool:
        return Document.objects.get(pk=document.pk).status == "ready"

    with worker(log, WORKER_PATIENCE_SECONDS="2") as stuck:
        wait_until(lambda: "ready." in log.read_text(), log=log)
        for queue in ("critical", "default", "low"):
            assert app.control.cancel_consumer(queue, reply=True, timeout=5)
        tasks.process.delay()
        wait_until(lambda: stuck.poll() is not None, log=log, seconds=20)
        assert stuck.returncode == watchdog.EXIT_CODE
        assert redis_client.client().llen("default") == 1
        assert not is_ready()
    with worker(log, WORKER_PATIENCE_SECONDS="2") as well:
        wait_until(is_ready, log=log)
        wait_until(lambda: redis_client.client().llen("default") == 0, log=log)
        assert well.poll() is None
