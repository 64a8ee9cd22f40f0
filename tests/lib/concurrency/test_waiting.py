"""How threads wait: without a connection, without a slot, and not for clients that left."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from ragsite.lib import postgres
from ragsite.lib.concurrency import computing, waiting
from ragsite.lib.errors import ClientLeft
from tests.lib.clients import asking


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.02)


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(computing, "AT_ONCE", 1)
    yield
    computing._semaphores.forget()


def done(value: object) -> "Future[object]":
    future: Future[object] = Future()
    future.set_result(value)
    return future


def test_what_is_waited_for_comes_or_raises() -> None:
    assert waiting.result(done(7), 1) == 7
    failed: Future[None] = Future()
    failed.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        waiting.result(failed, 1)


def test_what_comes_late_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        waiting.result(Future(), 0.1)


def test_a_timeout_of_the_work_itself_is_not_waited_on() -> None:
    work: Future[None] = Future()
    threading.Timer(0.1, lambda: work.set_exception(TimeoutError("the work's own"))).start()
    with pytest.raises(TimeoutError, match="the work's own"):
        waiting.result(work, 60)


def test_what_takes_no_time_is_done_for_clients_that_left_too() -> None:
    with asking() as told:
        told.client.close()
        assert waiting.result(done("closed"), 1) == "closed"


def test_nobody_is_waited_for_who_has_left() -> None:
    with asking() as told:
        threading.Timer(0.1, told.client.close).start()
        with pytest.raises(ClientLeft):
            waiting.result(Future(), 60)
        with pytest.raises(ClientLeft):
            waiting.pause(60)
    assert told.written


@pytest.mark.django_db(transaction=True)
def test_who_waits_holds_no_connection() -> None:
    connection.ensure_connection()
    waiting.result(done(None), 1)
    assert connection.connection is None
    connection.ensure_connection()
    waiting.pause(0)
    assert connection.connection is None


@pytest.mark.django_db(transaction=True)
def test_a_transaction_keeps_its_connection() -> None:
    with transaction.atomic():
        waiting.result(done(None), 1)
        assert connection.connection is not None
    connection.set_autocommit(False)
    try:
        postgres.give_back()
        assert connection.connection is not None
    finally:
        connection.rollback()
        connection.set_autocommit(True)


@pytest.mark.usefixtures("one_slot")
def test_who_waits_lets_others_have_the_slot() -> None:
    theirs: Future[str] = Future()

    def other() -> None:
        with computing.slot():
            theirs.set_result("had it")

    with computing.slot(), computing.slot():
        thread = threading.Thread(target=other)
        thread.start()
        assert waiting.result(theirs, 10) == "had it"
        thread.join()
        assert not computing._semaphores.get(1).acquire(blocking=False)  # and it is ours again


def test_no_more_than_a_few_compute_at_once() -> None:
    now = peak = 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal now, peak
        with computing.slot():
            with lock:
                now += 1
                peak = max(peak, now)
            time.sleep(0.005)
            with lock:
                now -= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(64)))
    assert peak == computing.AT_ONCE


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("one_slot")
def test_who_waits_for_a_turn_holds_no_connection() -> None:
    held = threading.Event()
    given_back: list[bool] = []

    def other() -> None:
        connection.ensure_connection()
        threading.Timer(0.1, held.set).start()
        with computing.slot():
            given_back.append(connection.connection is None)
        connection.close()

    with computing.slot():
        thread = threading.Thread(target=other)
        thread.start()
        held.wait()
    thread.join()
    assert given_back == [True]
