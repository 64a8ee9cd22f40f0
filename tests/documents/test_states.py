from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import Tenant
from documents import indexing, states, tasks
from documents.models import Document
from documents.states import Superseded
from ragsite.lib import row_security
from ragsite.lib.errors import Conflict
from tests.makers import ingest, make_document


def fresh(document: Document) -> Document:
    return Document.objects.get(pk=document.pk)


def let_lease_expire(document: Document) -> None:
    Document.objects.filter(pk=document.pk).update(leased_until=Now() - timedelta(seconds=1))


def forget_hint(document: Document) -> None:
    Document.objects.filter(pk=document.pk).update(hinted_at=Now() - timedelta(minutes=1))


def claimed(document: Document) -> Document:
    mine = states.claim(document.pk)
    assert mine is not None
    return mine


def test_a_claim_counts_the_attempt_and_sets_a_lease(tenant: Tenant) -> None:
    document = claimed(make_document(tenant, "text"))
    assert (document.status, document.stage, document.attempts) == ("processing", "parsing", 1)
    assert document.claim is not None
    assert document.leased_until is not None


def test_nothing_is_claimed_that_is_unknown_done_or_in_work(tenant: Tenant) -> None:
    document = make_document(tenant, "text")
    assert states.claim(uuid4()) is None
    mine = claimed(document)
    assert states.claim(document.pk) is None
    states.fail(mine, code="corrupt", detail="It is damaged.")
    assert states.claim(document.pk) is None


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_claims(tenant: Tenant) -> None:
    document = make_document(tenant, "text")

    def take(_: int) -> bool:
        try:
            return states.claim(document.pk) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8, initializer=row_security.enter_across) as pool:
        assert sum(pool.map(take, range(32))) == 1
    assert fresh(document).attempts == 1


def test_an_expired_lease_can_be_claimed_and_fences_off_every_write_of_the_older_attempt(
    tenant: Tenant,
) -> None:
    older = claimed(make_document(tenant, "text"))
    let_lease_expire(older)
    newer = claimed(older)
    writes: list[Callable[[], None]] = [
        lambda: states.extend_lease(older),
        lambda: states.advance(older, Document.Stage.EMBEDDING),
        lambda: states.make_ready(older, pages=1, chunks=1, title="x"),
        lambda: states.fail(older, code="x", detail="x"),
        lambda: states.release(older, code="x", detail="x"),
    ]
    for write in writes:
        with pytest.raises(Superseded):
            write()
    assert fresh(newer) == newer
    assert (fresh(newer).claim, fresh(newer).status, fresh(newer).attempts) == (newer.claim, "processing", 2)
    states.make_ready(newer, pages=None, chunks=1, title="x")
    assert fresh(newer).status == "ready"


def test_a_heartbeat_moves_the_lease_on(tenant: Tenant) -> None:
    document = claimed(make_document(tenant, "text"))
    let_lease_expire(document)
    states.extend_lease(document)
    assert states.claim(document.pk) is None


def test_what_nobody_took_and_what_a_worker_lost_is_hinted_at_again_once(tenant: Tenant) -> None:
    lost, silent = make_document(tenant, "lost"), make_document(tenant, "silent")
    alive, young = make_document(tenant, "alive"), make_document(tenant, "young")
    let_lease_expire(claimed(silent))
    claimed(alive)
    for document in (lost, silent, alive):
        forget_hint(document)
    assert set(states.overdue()) == {lost.pk, silent.pk}
    assert states.overdue() == []
    assert young.pk not in states.overdue()


def test_a_document_is_given_up_after_its_last_interruption(tenant: Tenant, settings: Settings) -> None:
    document = make_document(tenant, "text")
    for attempt in range(settings.INGEST_MAX_ATTEMPTS):
        assert claimed(document).attempts == attempt + 1
        states.give_up()
        assert fresh(document).status == "processing"
        let_lease_expire(document)
    assert states.claim(document.pk) is None
    states.give_up()
    failed = fresh(document)
    assert (failed.status, failed.error_code, failed.stage) == ("failed", "interrupted", "")
    assert "interrupted 3 times" in failed.error_detail


def test_a_released_document_keeps_the_reason_and_fails_for_it_in_the_end(
    tenant: Tenant, settings: Settings
) -> None:
    document = make_document(tenant, "text")
    for _ in range(settings.INGEST_MAX_ATTEMPTS):
        states.release(claimed(document), code="model_timeout", detail="The model took too long.")
        assert (fresh(document).status, fresh(document).error_code) == ("queued", "model_timeout")
    states.give_up()
    failed = fresh(document)
    assert (failed.status, failed.error_code, failed.error_detail) == (
        "failed",
        "model_timeout",
        "The model took too long.",
    )


def test_only_what_is_finished_is_queued_again(tenant: Tenant) -> None:
    document = make_document(tenant, "text")
    with pytest.raises(Conflict):
        states.queue_again(document)
    mine = claimed(document)
    with pytest.raises(Conflict):
        states.queue_again(document)
    states.fail(mine, code="corrupt", detail="It is damaged.")
    states.queue_again(document)
    assert (document.status, document.attempts, document.error_code) == ("queued", 0, "")


def test_the_sweeper_publishes_what_is_lost_and_no_more(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, _ = make_document(tenant, "lost"), make_document(tenant, "young")
    forget_hint(lost)
    published: list[str] = []
    monkeypatch.setattr(tasks.process, "delay", published.append)
    tasks.sweep()
    tasks.sweep()
    assert published == [str(lost.pk)]


@pytest.mark.django_db(transaction=True)
def test_processing_twice_is_the_same_as_once(tenant: Tenant) -> None:
    document = ingest(tenant, "Tea is served at four.")
    version = Tenant.objects.get(pk=tenant.pk).corpus_version
    tasks.process(str(document.pk))
    assert fresh(document).attempts == 1
    assert Tenant.objects.get(pk=tenant.pk).corpus_version == version
    identifier = str(document.pk)
    indexing.remove(document)
    tasks.process(identifier)
