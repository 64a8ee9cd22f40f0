from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Tenant
from documents import indexing, states, tasks
from documents import ingest as ingesting
from documents.models import Document
from ragsite.lib import row_security
from ragsite.lib.errors import Conflict
from tests.makers import Party, ingest, make_document

Queue = Document.Queue


def fresh(document: Document) -> Document:
    return Document.objects.get(pk=document.pk)


def vars_of(document: Document) -> dict[str, object]:
    return {name: value for name, value in vars(document).items() if name not in {"_state", "leased_until"}}


def let_lease_expire(document: Document, *, seconds: int = 120) -> None:
    """So many seconds ago: long enough for any rest."""
    Document.objects.filter(pk=document.pk).update(leased_until=Now() - timedelta(seconds=seconds))


def claimed(document: Document) -> Document:
    mine = states.claim(document.pk)
    assert mine is not None
    return mine


def begun(document: Document) -> Document:
    mine = claimed(document)
    assert states.begin(mine)
    return mine


def test_a_claim_sets_a_lease_and_the_beginning_counts_the_attempt(tenant: Tenant) -> None:
    document = claimed(make_document(tenant, "text"))
    assert (document.status, document.stage, document.attempts) == ("processing", "", 0)
    assert document.claim is not None
    assert document.leased_until is not None
    assert states.begin(document)
    assert (fresh(document).stage, fresh(document).attempts) == ("parsing", 1)


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


def test_an_expired_lease_can_be_claimed_and_fences_off_every_write_of_the_older_attempt(
    tenant: Tenant,
) -> None:
    older = begun(make_document(tenant, "text"))
    let_lease_expire(older)
    newer = begun(older)
    before = fresh(newer)
    assert (before.claim, before.status, before.attempts) == (newer.claim, "processing", 2)
    assert not states.begin(older)
    assert states.advance([older], Document.Stage.EMBEDDING) == []
    assert not states.fail(older, code="x", detail="x")
    assert not states.give_back(older, code="x", detail="x")
    assert not states.move_to_low(older)
    states.extend_leases([older])
    with transaction.atomic():
        assert states.hold([older]) == []
        states.make_ready([older])
    assert vars_of(fresh(newer)) == vars_of(before)
    states.make_ready([newer])
    assert fresh(newer).status == "ready"


def test_a_heartbeat_moves_the_lease_on(tenant: Tenant) -> None:
    document = claimed(make_document(tenant, "text"))
    let_lease_expire(document)
    states.extend_leases([document])
    assert states.claim(document.pk) is None


def test_a_document_is_given_up_after_its_last_interruption(tenant: Tenant, settings: Settings) -> None:
    document = make_document(tenant, "text")
    for _ in range(settings.INGEST_MAX_ATTEMPTS):
        begun(document)
        assert states.spent() == []
        let_lease_expire(document)
    assert states.claim(document.pk) is None
    tasks.sweep()
    failed = fresh(document)
    assert (failed.status, failed.error_code, failed.stage) == ("failed", "interrupted", "")
    assert "interrupted 3 times" in failed.error_detail


def test_giving_back_costs_no_attempt_rests_longer_each_time_and_ends_after_a_day(tenant: Tenant) -> None:
    document, pauses = make_document(tenant, "text"), []
    for hours in (0, 0, 1, 23):
        mine = begun(document)
        Document.objects.exclude(refused_since=None).update(refused_since=Now() - timedelta(hours=hours))
        assert states.give_back(mine, code="model_timeout", detail="The model took too long.")
        given = fresh(document)
        assert (given.status, given.error_code, given.attempts) == ("queued", "model_timeout", 0)
        assert states.claim(document.pk) is None
        pauses.append(round((given.not_before - timezone.now()).total_seconds()))
        Document.objects.update(not_before=Now())
    assert pauses[0] in range(3, 6)
    assert pauses[-1] in range(290, 301)
    assert pauses == sorted(pauses)
    Document.objects.update(refused_since=Now() - timedelta(days=1))
    assert not states.give_back(begun(document), code="model_timeout", detail="The model took too long.")


def test_a_move_to_the_other_lane_costs_no_attempt(tenant: Tenant) -> None:
    document = make_document(tenant, "text")
    assert states.move_to_low(begun(document))
    assert (fresh(document).queue, fresh(document).attempts, fresh(document).status) == ("low", 0, "queued")
    assert states.claim_next(Queue.DEFAULT) == []
    assert states.claim_next(Queue.LOW) == [document]


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


def test_the_sweeper_hints_at_the_lanes_that_have_something_free(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(tasks.process, "delay", lambda: told.append("default"))
    monkeypatch.setattr(tasks.process_large, "delay", lambda: told.append("low"))
    tasks.sweep()
    assert told == []
    document = make_document(tenant, "lost")
    tasks.sweep()
    assert set(told) == {"default"}
    told.clear()
    states.move_to_low(begun(document))
    tasks.sweep()
    assert set(told) == {"low"}
    assert len(told) <= tasks.SWEEPERS_HINTS


# Batches -----------------------------------------------------------------------------------------------------


def test_a_batch_is_one_tenants_and_the_tenants_take_turns(ours: Party, theirs: Party) -> None:
    first, second = sorted([ours.tenant, theirs.tenant], key=lambda tenant: tenant.pk)
    for number in range(states.BATCH_DOCUMENTS + 2):
        make_document(first, f"text {number}")
    other = make_document(second, "text")
    batch = states.claim_next(Queue.DEFAULT)
    assert len(batch) == states.BATCH_DOCUMENTS
    assert {document.tenant_id for document in batch} == {first.pk}
    assert len({document.claim for document in batch}) == states.BATCH_DOCUMENTS
    assert states.claim_next(Queue.DEFAULT, after=first.pk) == [other]
    assert len(states.claim_next(Queue.DEFAULT, after=second.pk)) == 2  # round again
    assert states.claim_next(Queue.DEFAULT, after=first.pk) == []


def test_a_batch_ends_where_it_has_enough_bytes(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "BATCH_BYTES", 100)
    sizes = [40, 40, 40, 500, 1]
    for number, size in enumerate(sizes):
        make_document(tenant, f"{number}".ljust(size, "x"))
    batches = [[document.bytes for document in states.claim_next(Queue.DEFAULT)] for _ in range(4)]
    assert batches == [[40, 40], [40], [500], [1]]


def test_what_was_tried_before_is_taken_alone(tenant: Tenant) -> None:
    documents = [make_document(tenant, f"text {number}") for number in range(5)]
    let_lease_expire(begun(documents[2]))
    assert [states.claim_next(Queue.DEFAULT) for _ in range(3)] == [
        documents[:2],
        [documents[2]],
        documents[3:],
    ]


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_each_document_goes_to_one(ours: Party, theirs: Party) -> None:
    documents = {
        make_document(tenant, f"text {number}")
        for number in range(40)
        for tenant in (ours.tenant, theirs.tenant)
    }

    def take(_: int) -> list[Document]:
        try:
            return states.claim_next(Queue.DEFAULT)
        finally:
            connection.close()

    with ThreadPoolExecutor(8, initializer=row_security.enter_across) as pool:
        taken = [document for batch in pool.map(take, range(24)) for document in batch]
    taken += states.claim_next(Queue.DEFAULT) + states.claim_next(Queue.DEFAULT)
    assert len(taken) == len(set(taken)) == len(documents)


@pytest.mark.django_db(transaction=True)
def test_processing_twice_is_the_same_as_once(tenant: Tenant) -> None:
    document = ingest(tenant, "Tea is served at four.")
    version = Tenant.objects.get(pk=tenant.pk).corpus_version
    ingesting.process_now(document.pk)
    assert fresh(document).attempts == 1
    assert Tenant.objects.get(pk=tenant.pk).corpus_version == version
    identifier = document.pk
    indexing.remove(document)
    ingesting.process_now(identifier)


def test_what_lost_two_workers_rests_for_a_while(tenant: Tenant) -> None:
    document = make_document(tenant, "text")
    for _ in range(2):
        begun(document)
        let_lease_expire(document, seconds=59)
    assert states.claim(document.pk) is None
    let_lease_expire(document, seconds=61)
    begun(document)


def test_a_closed_tenant_s_documents_wait_until_it_is_open_again(ours: Party) -> None:
    document = make_document(ours.tenant, "Something to read.")
    Tenant.objects.filter(pk=ours.tenant.pk).update(active=False)
    assert states.claim_next(Document.Queue.DEFAULT) == []
    assert not states.has_free(Document.Queue.DEFAULT)
    Tenant.objects.filter(pk=ours.tenant.pk).update(active=True)
    assert [claimed.pk for claimed in states.claim_next(Document.Queue.DEFAULT)] == [document.pk]
