"""An event that is noted while its webhook is removed: neither breaks the other."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from ragsite.lib import row_security
from ragsite.lib.identifiers import uuid7
from tests.makers import Party
from tests.webhooks.making import make_webhook
from webhooks import endpoints, outbox
from webhooks.models import Delivery, Endpoint, Event

pytestmark = pytest.mark.django_db(transaction=True)
HELD_SECONDS = 0.5


def in_thread(pool: ThreadPoolExecutor, work: Callable[[], None]) -> Future[None]:
    def run() -> None:
        try:
            with row_security.across():
                work()
        finally:
            connection.close()

    return pool.submit(run)


@pytest.mark.parametrize("noted_first", [True, False])
def test_noting_and_removing_at_once(ours: Party, noted_first: bool) -> None:  # noqa: FBT001  a parameter of the test
    endpoint, _ = make_webhook(ours, "https://hooks.example/")
    begun = threading.Event()

    def note() -> None:
        outbox.note(ours.tenant.pk, [uuid7()], Event.DOCUMENT_READY)

    def remove() -> None:
        endpoints.remove(endpoint)

    def slowly(work: Callable[[], None]) -> Callable[[], None]:
        def done() -> None:
            with transaction.atomic():
                work()
                begun.set()
                threading.Event().wait(HELD_SECONDS)

        return done

    def afterwards(work: Callable[[], None]) -> Callable[[], None]:
        def done() -> None:
            assert begun.wait(10)
            with transaction.atomic():
                work()

        return done

    first, second = (note, remove) if noted_first else (remove, note)
    with ThreadPoolExecutor(2) as pool:
        for future in (in_thread(pool, slowly(first)), in_thread(pool, afterwards(second))):
            future.result(20)  # an event that could not be noted would take its document's transaction along
    assert not Endpoint.objects.across_tenants().exists()
    assert not Delivery.objects.across_tenants().exists()


def test_transactions_that_note_do_not_wait_for_each_other(ours: Party) -> None:
    make_webhook(ours, "https://hooks.example/")
    both = threading.Barrier(2, timeout=10)

    def note() -> None:
        with transaction.atomic():
            outbox.note(ours.tenant.pk, [uuid7()], Event.DOCUMENT_READY)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        for future in [in_thread(pool, note) for _ in range(2)]:
            future.result(20)
    assert Delivery.objects.across_tenants().count() == 2
