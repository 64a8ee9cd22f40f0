"""What is older than it is to be kept goes, by the month or by the row, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from auditlog.models import LogEntry
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apikeys import usage
from apikeys.models import Usage
from queries import retention, tasks
from queries.models import Conversation, Feedback, Query
from ragsite.celery import app
from ragsite.lib.identifiers import floor, made_at, uuid7
from ragsite.lib.postgres import batches, partitions
from tests.makers import Party, make_party

# The owner of the tables drops months that the other role has written into: both must have committed.
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
NOW = datetime(2031, 7, 15, 12, tzinfo=UTC)
PAST = [datetime(2031, month, 20, tzinfo=UTC) for month in (3, 4, 5, 6)]


@pytest.fixture(autouse=True)
def july(settings: Any) -> Iterator[None]:
    """Months of the past, made as they are made when they lie ahead; and then it is the middle of July."""
    settings.AUDIT_RETENTION_DAYS = 10_000  # its entries have today's date
    drop_months()  # of the days on which the test runs
    with pytest.MonkeyPatch.context() as patch:
        for moment in (datetime(2031, 3, 1, tzinfo=UTC), NOW):
            patch.setattr("django.utils.timezone.now", lambda moment=moment: moment)
            tasks.make_partitions()
        yield
    Feedback.objects.all().delete()
    drop_months()
    tasks.make_partitions()


def drop_months() -> None:
    for table in retention.PARTITIONED:
        for month in partitions.older_than(table, datetime(2040, 1, 1, tzinfo=UTC)):
            partitions.drop(table, month)


def identifier(moment: datetime) -> UUID:
    return UUID(int=floor(moment).int | uuid7().int & 0xFFFFFFFFFFFF)


def ask(party: Party, moment: datetime) -> UUID:
    """One request and what is kept of it: record, history, conversation, opinion."""
    pk = identifier(moment)
    usage.write([usage.Entry(id=pk, tenant_id=party.tenant.pk, endpoint="/", method="POST", status=200, milliseconds=1)])  # fmt: skip
    Conversation.objects.create(id=pk, tenant=party.tenant, title="Why?", latest=pk)
    query = Query.objects.create(
        id=pk,
        tenant=party.tenant,
        question="Why?",
        status="answered",
        created_at=moment,
        conversation_id=pk,
    )
    Feedback.objects.create(tenant=party.tenant, query=query, rating="up")
    return pk


def keep(party: Party, days: int) -> None:
    party.tenant.retention_days = days
    party.tenant.save()


def kept(party: Party) -> list[datetime]:
    """When what is left of a party was asked; records, history, conversations and opinions agree on it."""
    ids: list[list[UUID]] = [
        list(Usage.objects.for_tenant(party.tenant).order_by("pk").values_list("pk", flat=True)),
        list(Query.objects.for_tenant(party.tenant).order_by("pk").values_list("pk", flat=True)),
        list(Conversation.objects.for_tenant(party.tenant).order_by("pk").values_list("pk", flat=True)),
        list(Feedback.objects.for_tenant(party.tenant).order_by("query_id").values_list("query_id", flat=True)),
    ]  # fmt: skip
    assert all(found == ids[0] for found in ids)
    return [made_at(pk) for pk in ids[0]]


def months() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(apikeys_usage|queries_query)_2031_0[1-6]$'"
        )
        return {name for (name,) in cursor.fetchall()}


@pytest.fixture
def asked(ours: Party, theirs: Party) -> None:
    keep(ours, 30)  # from June 15th
    keep(theirs, 90)  # from April 16th: all of March may go as a whole
    for party in (ours, theirs):
        for moment in PAST:
            ask(party, moment)
        ask(party, datetime(2029, 1, 1, tzinfo=UTC))  # in the default partition
    ask(ours, datetime(2031, 6, 15, 11, 59, tzinfo=UTC))
    ask(ours, datetime(2031, 6, 15, 12, 0, tzinfo=UTC))


def test_each_tenant_keeps_its_own_time(ours: Party, theirs: Party, asked: None) -> None:
    before = months()
    assert "apikeys_usage_2031_03" in before
    for _ in range(2):
        retention.prune()
        assert kept(ours) == [datetime(2031, 6, 15, 12, 0, tzinfo=UTC), PAST[3]]
        assert kept(theirs) == PAST[1:]
        assert months() == before - {"apikeys_usage_2031_03", "queries_query_2031_03"}


def test_dry_run_says_what_goes_and_keeps_it(ours: Party, theirs: Party, asked: None) -> None:
    before = months(), kept(ours), kept(theirs)
    out = StringIO()
    call_command("prune", "--dry-run", stdout=out)
    assert (months(), kept(ours), kept(theirs)) == before
    # Ours: April, May, June 15th and 2029; theirs: 2029. March goes with its month.
    assert out.getvalue().splitlines() == [
        "Would drop apikeys_usage_2031_03 (2 rows).",
        "Would drop queries_query_2031_03 (2 rows).",
        "Would delete 0 rows of apikeys_idempotentrequest.",
        "Would delete 5 rows of apikeys_usage.",
        "Would delete 0 rows of auditlog_logentry.",
        "Would delete 0 rows of django_session.",
        "Would delete 7 rows of queries_conversation.",
        "Would delete 7 rows of queries_feedback.",
        "Would delete 5 rows of queries_query.",
        "Would delete 0 rows of webhooks_delivery.",
    ]
    again = StringIO()
    call_command("prune", stdout=again)
    assert again.getvalue().splitlines() == [
        line.replace("Would drop", "Dropped").replace(" (2 rows)", "").replace("Would delete", "Deleted")
        for line in out.getvalue().splitlines()
    ]


def test_large_ones_go_in_batches(ours: Party, theirs: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(ours, 1)
    monkeypatch.setattr(batches, "BATCH", 3)
    for number in range(7):
        ask(ours, PAST[3] + timedelta(minutes=number))
    assert retention.prune().rows["apikeys_usage"] == 7
    assert kept(ours) == []


def test_records_of_this_month_stay_for_the_budget(ours: Party) -> None:
    keep(ours, 1)
    pk, before = ask(ours, NOW - timedelta(days=10)), ask(ours, NOW - timedelta(days=15))
    retention.prune()
    assert list(Usage.objects.for_tenant(ours.tenant).values_list("pk", flat=True)) == [pk]
    assert not Query.objects.for_tenant(ours.tenant).filter(pk__in=[pk, before]).exists()


def test_records_of_a_tenant_that_is_gone(ours: Party, theirs: Party) -> None:
    ask(theirs, NOW)
    pk = ask(ours, NOW - timedelta(seconds=1))
    Usage.objects.for_tenant(ours.tenant).update(tenant_id=uuid7())
    retention.prune()
    assert not Usage.objects.across_tenants().filter(pk=pk).exists()
    assert kept(theirs) == [NOW]


def test_audit_log_and_sessions(ours: Party, settings: Any) -> None:
    settings.AUDIT_RETENTION_DAYS = 30
    old, new = LogEntry.objects.all()[:2]
    LogEntry.objects.filter(pk=old.pk).update(timestamp=NOW - timedelta(days=30, seconds=1))
    LogEntry.objects.filter(pk=new.pk).update(timestamp=NOW - timedelta(days=30))
    Session.objects.create(session_key="old", session_data="", expire_date=NOW - timedelta(seconds=1))
    Session.objects.create(session_key="new", session_data="", expire_date=NOW)
    retention.prune()
    assert not LogEntry.objects.filter(pk=old.pk).exists()
    assert LogEntry.objects.filter(pk=new.pk).exists()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["new"]


def test_busy_month_is_left_for_the_next_time(
    ours: Party, theirs: Party, asked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as busy:
        busy.setattr(partitions, "drop", lambda *_: (_ for _ in ()).throw(partitions.Busy))
        retention.prune()
    assert "apikeys_usage_2031_03" in months()
    assert kept(theirs) == PAST[1:]  # its rows went one by one
    retention.prune()
    assert "apikeys_usage_2031_03" not in months()


def test_no_tenant_at_all(db: None) -> None:
    assert retention.prune().months == {}


def test_beat_asks_for_it(ours: Party, theirs: Party) -> None:
    entry = app.conf.beat_schedule["prune"]
    assert entry["task"] == tasks.prune.name
    assert app.amqp.router.route({}, tasks.prune.name)["queue"].name == "critical"
    keep(ours, 1)
    ask(ours, PAST[3])
    tasks.prune()
    assert kept(ours) == []
    assert make_party("new") is not None
    assert timezone.now() == NOW
