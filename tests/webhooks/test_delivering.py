"""Messages of webhooks, from the transaction that they are noted in to a receiver over HTTP."""

import hashlib
import hmac
import json
import time
from base64 import b64decode
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from documents import tasks as document_tasks
from documents.models import Document
from queries import retention
from ragsite.lib.concurrency import solo
from ragsite.lib.identifiers import floor
from tests.makers import Party, ingest, make_document
from tests.webhooks.making import deliver, make_webhook, only, time_passes
from tests.webhooks.receiver import (
    Received,
    Receiver,
    asks_to_wait,
    dripping_headers,
    endless_body,
    endless_headers,
    no_http,
    receiving,
    redirect,
    silent,
)
from webhooks import deliveries, endpoints, outbox, schedule, tasks
from webhooks.delivering import Deliverer
from webhooks.models import Delivery, Endpoint, Event

pytestmark = pytest.mark.django_db


def verified_by_hand(message: Received, secret: str) -> bool:
    """As the specification says it, in words of our own."""
    headers = {name.lower(): value for name, value in message.headers.items()}
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), message.body])
    expected = hmac.new(b64decode(secret.split("_")[1]), signed, hashlib.sha256).digest()
    given = [b64decode(part.partition("v1,")[2]) for part in headers["webhook-signature"].split(" ")]
    return any(hmac.compare_digest(expected, one) for one in given)


class Enough(Exception):
    pass


def note(party: Party, event: Event = Event.DOCUMENT_READY) -> None:
    outbox.note(party.tenant.pk, [make_document(party.tenant, "A text.").pk], event)


def test_a_document_that_becomes_ready_is_told_and_signed(ours: Party, receiver: Receiver) -> None:
    _, secret = make_webhook(ours, receiver.url)
    document = ingest(ours.tenant, "The kettle is blue.")
    deliver()
    (message,) = receiver.received
    told = Webhook(secret).verify(message.body, message.headers)
    assert told == json.loads(message.body)
    assert told["type"] == "document.ready"
    assert told["data"] == {"document_id": str(document.pk)}
    assert datetime.fromisoformat(told["timestamp"]).tzinfo is not None
    assert verified_by_hand(message, secret)
    assert message.headers["Content-Type"] == "application/json"
    delivery = only(ours)
    assert (delivery.status, delivery.attempts, delivery.error_code) == ("delivered", 1, "")
    assert [tried["status"] for tried in delivery.tries] == [204]


def test_a_message_that_was_changed_or_is_old_does_not_verify(ours: Party, receiver: Receiver) -> None:
    _, secret = make_webhook(ours, receiver.url)
    note(ours)
    deliver()
    (message,) = receiver.received
    wrong: list[tuple[bytes, dict[str, str]]] = [
        (message.body.replace(b"ready", b"reads"), message.headers),
        (message.body, message.headers | {"webhook-id": "msg_other"}),
        (message.body, message.headers | {"webhook-timestamp": str(int(time.time()) - 3_600)}),
    ]
    for body, headers in wrong:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


def test_a_document_that_fails_is_told(ours: Party, receiver: Receiver) -> None:
    make_webhook(ours, receiver.url, events=[Event.DOCUMENT_FAILED.value])
    ingest(ours.tenant, "Ready: nobody asked to hear it.")
    broken = ingest(ours.tenant, b"%PDF-1.7 broken", filename="broken.pdf")
    assert broken.status == "failed"
    deliver()
    assert [json.loads(message.body)["data"]["document_id"] for message in receiver.received] == [
        str(broken.pk)
    ]


def test_documents_that_are_given_up_are_told(ours: Party, theirs: Party, receiver: Receiver) -> None:
    for party in (ours, theirs):
        make_webhook(party, receiver.url)
    rows = [make_document(party.tenant, f"Lost {n}.") for party in (ours, theirs) for n in range(2)]
    Document.objects.across_tenants().update(attempts=99, error_code="unavailable")
    document_tasks.sweep()
    told = Delivery.objects.across_tenants()
    assert {(row.tenant_id, row.document_id) for row in told} == {(row.tenant_id, row.pk) for row in rows}
    assert {row.event for row in told} == {"document.failed"}


def test_what_is_rolled_back_was_never_told(ours: Party, receiver: Receiver) -> None:
    make_webhook(ours, receiver.url)
    with transaction.atomic():
        note(ours)
        transaction.set_rollback(True)
    deliver()
    assert receiver.received == []


def test_one_event_has_one_id_at_every_endpoint_and_try(ours: Party, receiver: Receiver) -> None:
    first, second = make_webhook(ours, receiver.url), make_webhook(ours, receiver.url)
    receiver.script = [500, 503]
    note(ours)
    deliver()
    assert set(Delivery.objects.across_tenants().values_list("status", "error_code")) == {
        ("pending", "status")
    }
    time_passes()
    deliver()
    assert len(receiver.received) == 4
    assert len({message.headers["webhook-id"] for message in receiver.received}) == 1
    assert len({message.body for message in receiver.received}) == 1
    assert [sum(verified_by_hand(m, secret) for m in receiver.received) for _, secret in (first, second)] == [
        2,
        2,
    ]
    for delivery in Delivery.objects.across_tenants():
        assert [tried["status"] for tried in delivery.tries][1] == 204


def test_tries_come_further_and_further_apart_and_end(ours: Party, receiver: Receiver) -> None:
    make_webhook(ours, receiver.url)
    receiver.script = [500] * schedule.TRIES
    note(ours)
    pauses = []
    for _ in range(schedule.TRIES):
        deliver()
        pauses.append((only(ours).due_at - timezone.now()).total_seconds())
        time_passes()
    deliver()
    for planned, pause in zip(schedule.DELAYS, pauses, strict=False):
        assert planned - 2 <= pause <= 1.2 * planned
    delivery = only(ours)
    assert (delivery.status, delivery.error_code, delivery.attempts) == ("failed", "status", schedule.TRIES)
    assert len(receiver.received) == len(delivery.tries) == schedule.TRIES
    assert 24 * 3600 < sum(schedule.DELAYS) < 36 * 3600


def test_a_receiver_may_ask_for_a_longer_pause(ours: Party, receiver: Receiver) -> None:
    make_webhook(ours, receiver.url)
    receiver.script = [asks_to_wait(3_600), asks_to_wait(10**9)]
    for most in (3_600, 12 * 3_600):
        if most == 3_600:
            note(ours)
        deliver()
        assert most - 5 < (only(ours).due_at - timezone.now()).total_seconds() <= most
        time_passes()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (redirect("http://127.0.0.1:1/private"), (307, "status")),
        (404, (404, "status")),
        (endless_headers, (None, "protocol")),
        (no_http, (None, "protocol")),
        (silent, (None, "timed_out")),
        (dripping_headers, (None, "timed_out")),
    ],
    ids=["redirect", "404", "endless headers", "no http", "silent", "dripping"],
)
def test_answers_that_are_none(
    ours: Party, receiver: Receiver, settings: Any, answer: Any, expected: Any
) -> None:
    settings.WEBHOOK_TIMEOUT_SECONDS = 1
    make_webhook(ours, receiver.url)
    receiver.script = [answer]
    note(ours)
    begun = time.monotonic()
    deliver()
    assert time.monotonic() - begun < 4
    (tried,) = only(ours).tries
    assert (tried["status"], tried["error_code"]) == expected
    assert only(ours).status == "pending"
    assert len(receiver.received) == 1  # nothing was followed


def test_nothing_of_a_body_is_read(ours: Party, receiver: Receiver) -> None:
    make_webhook(ours, receiver.url)
    receiver.script = [endless_body]
    note(ours)
    deliver()
    assert only(ours).status == "delivered"


def test_a_receiver_that_is_not_there(ours: Party) -> None:
    with receiving() as receiver:
        make_webhook(ours, receiver.url)
    note(ours)
    deliver()
    assert only(ours).error_code == "connection"


def test_gone_switches_the_endpoint_off(ours: Party, receiver: Receiver) -> None:
    endpoint, _ = make_webhook(ours, receiver.url)
    receiver.script = [410]
    for _ in range(2):
        note(ours)
    Delivery.objects.across_tenants().filter(pk=Delivery.objects.across_tenants().latest("pk").pk).update(
        due_at=timezone.now() + timedelta(hours=1)
    )
    deliver()
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_because) == (False, "gone")
    assert set(Delivery.objects.across_tenants().values_list("status", "error_code")) == {
        ("failed", "status"), ("failed", "webhook_disabled"),
    }  # fmt: skip
    note(ours)
    time_passes()
    deliver()
    assert (len(receiver.received), Delivery.objects.across_tenants().count()) == (1, 2)


def test_an_endpoint_that_fails_for_days_is_switched_off_and_one_that_recovers_is_not(
    ours: Party, receiver: Receiver, settings: Any
) -> None:
    endpoint, _ = make_webhook(ours, receiver.url)
    long_ago = timezone.now() - timedelta(days=settings.WEBHOOK_DISABLE_DAYS, minutes=1)
    for script, enabled in (([500], True), ([204], True), ([500] * schedule.TRIES, False)):
        receiver.script = [*script]
        note(ours)
        Endpoint.objects.across_tenants().update(failing_since=long_ago)
        for _ in script:
            deliver()
            time_passes()
        endpoint.refresh_from_db()
        assert endpoint.enabled is enabled, script
        Delivery.objects.across_tenants().delete()
    assert endpoint.disabled_because == "failing"


def test_a_rotated_secret_and_the_old_one_sign_until_the_overlap_ends(
    ours: Party, receiver: Receiver
) -> None:
    endpoint, old = make_webhook(ours, receiver.url)
    endpoint, new = endpoints.rotate(endpoint, overlap=timedelta(hours=1))
    assert old != new
    note(ours)
    deliver()
    assert [verified_by_hand(receiver.received[-1], secret) for secret in (new, old)] == [True, True]
    for secret in (new, old):
        Webhook(secret).verify(receiver.received[-1].body, receiver.received[-1].headers)
    Endpoint.objects.across_tenants().update(previous_until=timezone.now())
    note(ours)
    deliver()
    assert [verified_by_hand(receiver.received[-1], secret) for secret in (new, old)] == [True, False]


def test_a_worker_that_dies_with_a_message_sends_it_again_under_its_id(
    ours: Party, receiver: Receiver
) -> None:
    """What is taken and never recorded is due again after its lease; a record of the dead one's try is refused."""
    endpoint, _ = make_webhook(ours, receiver.url)
    note(ours)
    (taken,) = deliveries.take(endpoint, 5)
    deliver()
    assert receiver.received == []  # leased
    time_passes()
    deliver()
    deliveries.record(taken, deliveries.Try(timezone.now(), 1, error="connection"))
    delivery = only(ours)
    assert (delivery.status, delivery.attempts, delivery.error_code) == ("delivered", 2, "")
    assert [tried["status"] for tried in delivery.tries] == [204]
    assert receiver.received[0].headers["webhook-id"] == f"msg_{taken.message.hex}"


def test_a_slow_receiver_holds_nobody_up(
    ours: Party, theirs: Party, receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_TIMEOUT_SECONDS = 10
    with receiving() as hanging:
        hanging.script = [silent] * 1_000
        make_webhook(theirs, hanging.url)
        document = make_document(theirs.tenant, "x").pk
        outbox.note(theirs.tenant.pk, [document] * 100, Event.DOCUMENT_READY)
        make_webhook(ours, receiver.url)
        outbox.note(ours.tenant.pk, [document] * 10, Event.DOCUMENT_READY)
        arrived = Delivery.objects.for_tenant(ours.tenant).filter(status="delivered")

        def enough() -> None:
            if arrived.count() == 10:
                raise Enough

        begun = time.monotonic()
        with pytest.raises(Enough):
            Deliverer().run(seconds=60, pulse=enough)
        assert time.monotonic() - begun < 9  # before the first that hangs is given up
        assert 0 < len(hanging.received) <= 4


def test_two_at_work_take_different_ones(ours: Party, receiver: Receiver) -> None:
    endpoint, _ = make_webhook(ours, receiver.url)
    outbox.note(ours.tenant.pk, [make_document(ours.tenant, "x").pk] * 4, Event.DOCUMENT_READY)
    first, second = deliveries.take(endpoint, 3), deliveries.take(endpoint, 3)
    assert (len(first), len(second)) == (3, 1)
    assert not {row.pk for row in first} & {row.pk for row in second}


def test_the_task_sends_and_a_second_one_leaves_it_to_the_first(
    ours: Party, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_webhook(ours, receiver.url)
    note(ours)
    with solo.alone("webhooks") as keep:
        assert keep is not None
        keep()
        tasks.deliver()
    assert receiver.received == []
    tasks.deliver()
    assert len(receiver.received) == 1


def test_a_secret_that_cannot_be_read_is_said(ours: Party, receiver: Receiver, settings: Any) -> None:
    make_webhook(ours, receiver.url)
    note(ours)
    settings.ENCRYPTION_KEY = "A" * 43 + "="
    deliver()
    assert (only(ours).error_code, receiver.received) == ("secret", [])


def test_a_removed_endpoint_takes_its_messages_along(ours: Party, receiver: Receiver) -> None:
    endpoint, _ = make_webhook(ours, receiver.url)
    note(ours)
    (taken,) = deliveries.take(endpoint, 1)
    endpoints.remove(endpoint)
    endpoints.remove(endpoint)
    deliveries.record(taken, deliveries.Try(timezone.now(), 1, error="connection"))
    assert not Delivery.objects.across_tenants().exists()
    note(ours)
    assert not Delivery.objects.across_tenants().exists()


@pytest.mark.django_db(databases=["default", "owner"])
def test_old_messages_are_pruned(ours: Party, receiver: Receiver) -> None:
    make_webhook(ours, receiver.url)
    note(ours)
    old = floor(timezone.now() - timedelta(days=31))
    Delivery.objects.across_tenants().update(id=old)
    note(ours)
    assert retention.prune().rows["webhooks_delivery"] == 1
    assert Delivery.objects.across_tenants().count() == 1


def test_a_tenant_that_was_closed_hears_nothing_until_it_is_open_again(
    ours: Party, receiver: Receiver
) -> None:
    make_webhook(ours, receiver.url)
    note(ours)
    for active, received in ((False, 0), (True, 1)):
        ours.tenant.active = active
        ours.tenant.save()
        deliver()
        assert len(receiver.received) == received
