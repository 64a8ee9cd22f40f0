"""The second wall between tenants: what Postgres refuses when the application forgets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, ProgrammingError, connection, connections, models, transaction
from django.test import Client

from accounts.models import Tenant, User
from accounts.tenancy import TenantOwned
from apikeys import usage
from apikeys.models import APIKey, KeyCollection
from apikeys.usage import Entry
from documents import ingest as ingesting
from documents import tasks
from documents.models import Chunk, Collection, Document
from ragsite.lib import row_security
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, ingest, make_document

pytestmark = pytest.mark.django_db

# Records outlive what they point at, and are written in batches that one tenant's removal must not hold up. Whose a
# tally's key is, is asked when it is added up.
RECORDS = {"apikeys.Usage", "apikeys.Tally", "queries.Query"}


def ask(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        point = transaction.savepoint()
        yield
        transaction.savepoint_rollback(point)


def owned() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if issubclass(model, TenantOwned)]


def test_every_table_with_a_tenant_is_walled_its_owner_included() -> None:
    open_tables = ask(
        "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relkind IN ('r', 'p') AND attname = 'tenant_id' AND NOT (relrowsecurity AND relforcerowsecurity)"
        " AND relpersistence <> 't'"  # no other session sees those that documents.copying makes
    )
    assert open_tables == []
    assert {model._meta.db_table for model in owned()} <= {
        name for (name,) in ask("SELECT relname FROM pg_class WHERE relforcerowsecurity")
    }


def test_the_role_that_serves_owns_nothing_and_bypasses_nothing() -> None:
    role = ask("SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user")
    assert role == [(False, False, False)]
    belongings = (
        "SELECT relname FROM pg_class WHERE relowner = current_user::regrole AND relpersistence <> 't'"
    )
    assert ask(belongings) == []
    with pytest.raises(ProgrammingError, match="must be owner"), transaction.atomic():
        ask("ALTER TABLE documents_chunk DISABLE ROW LEVEL SECURITY")


def test_a_query_that_forgets_its_tenant_returns_its_tenants_rows_alone(ours: Party, theirs: Party) -> None:
    for party in (ours, theirs):
        ingest(party.tenant, f"The kettle of {party.tenant} is blue.")
    for model in (Tenant, User, APIKey, Document, Chunk, Collection):
        assert model.objects.count() >= 2
        with row_security.within(ours.tenant.pk):
            column = "pk" if model is Tenant else "tenant_id"
            assert set(model.objects.values_list(column, flat=True)) == {ours.tenant.pk}
        with row_security.nobody():
            assert model.objects.count() == 0


def test_nothing_is_written_for_another_tenant(ours: Party, theirs: Party) -> None:
    with row_security.within(ours.tenant.pk):
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            Collection.objects.create(tenant=theirs.tenant, name="planted")
        assert not APIKey.objects.filter(pk=theirs.key.pk).update(name="taken")
        assert APIKey.objects.filter(pk=theirs.key.pk).delete()[0] == 0
        own = APIKey.objects.get(pk=ours.key.pk)
        own.tenant = theirs.tenant
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            own.save(update_fields=["tenant"])


def test_a_row_cannot_point_at_another_tenants_row(ours: Party, theirs: Party) -> None:
    collection = Collection.objects.create(tenant=theirs.tenant, name="theirs")
    with undone():
        KeyCollection.objects.create(tenant=ours.tenant, key=ours.key, collection=collection)
        with pytest.raises(IntegrityError, match="keycollection_collection_id_of_tenant"):
            connection.check_constraints()
    with undone():
        APIKey.objects.filter(pk=ours.key.pk).update(owner=theirs.business)
        with pytest.raises(IntegrityError, match="apikey_owner_id_of_tenant"):
            connection.check_constraints()


def test_every_reference_between_tenants_rows_is_over_tenant_and_id() -> None:
    held = {
        (table, tuple(columns))
        for table, columns in ask(
            "SELECT conrelid::regclass::text, ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = conrelid"
            " AND attnum = ANY (conkey) ORDER BY attname) FROM pg_constraint WHERE contype = 'f'"
        )
    }
    for model in owned():
        if model._meta.label in RECORDS:
            continue
        for field in model._meta.concrete_fields:
            target = field.related_model
            if isinstance(target, type) and (issubclass(target, TenantOwned) or target is User):
                pair = (model._meta.db_table, tuple(sorted(["tenant_id", str(field.column)])))
                assert pair in held, f"{model.__name__}.{field.name}"


def test_a_partition_is_no_way_around_its_table(ours: Party) -> None:
    used = Entry(
        id=uuid7(), tenant_id=ours.tenant.pk, endpoint="/x", method="GET", status=200, milliseconds=1
    )
    usage.write([used])
    ((part,),) = ask("SELECT tableoid::regclass::text FROM apikeys_usage")
    assert ask(f"SELECT count(*) FROM {part}") == [(1,)]  # noqa: S608  Postgres's own name
    with row_security.nobody():
        assert ask(f"SELECT count(*) FROM {part}") == [(0,)]  # noqa: S608  the same


def test_a_thread_begins_with_nobodys_rows(ours: Party) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(row_security.is_set).result() is False


def test_what_follows_a_commit_is_its_blocks_and_no_more(
    ours: Party, django_capture_on_commit_callbacks: Any
) -> None:
    """A callback that outlives the block which asked for it sees nobody's rows."""
    seen: list[int] = []
    with (
        row_security.nobody(),
        django_capture_on_commit_callbacks(execute=True),
        row_security.within(ours.tenant.pk),
    ):
        transaction.on_commit(lambda: seen.append(APIKey.objects.count()))
    assert seen == [0]


def test_a_task_that_fails_leaves_its_worker_nobodys_rows(
    ours: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_document(ours.tenant, "Read me.")
    held: list[bool] = []

    def fails(_: list[Document]) -> None:
        held.append(row_security.is_set())
        raise RuntimeError

    monkeypatch.setattr(ingesting, "process", fails)
    with row_security.nobody():
        with pytest.raises(RuntimeError):
            tasks.process()
        assert (held, row_security.is_set()) == ([True], False)


@pytest.mark.django_db(transaction=True)
def test_a_stream_that_is_left_leaves_nobodys_rows(ours: Party) -> None:
    """Whoever sends its events has left the middleware, and sends other requests after it."""
    ingest(ours.tenant, "The kettle is blue.")
    with row_security.nobody():
        body = {"question": "Which colour has the kettle?", "stream": True}
        for how_far in (1, None):
            answer: Any = Client(HTTP_X_API_KEY=ours.raw).post(
                "/api/query", body, content_type="application/json", headers={"Idempotency-Key": f"{how_far}"}
            )
            events = list(islice(answer.streaming_content, how_far))
            assert b"kettle" in b"".join(events)
            assert not row_security.is_set()
            answer.close()
            assert not row_security.is_set()


def test_a_failed_transaction_can_be_rolled_back_to_its_savepoint(ours: Party) -> None:
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            Tenant.objects.create(name="again", slug=ours.tenant.slug)
        assert Tenant.objects.filter(pk=ours.tenant.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_what_a_transaction_was_told_ends_with_it(ours: Party) -> None:
    with row_security.within(ours.tenant.pk), transaction.atomic():
        assert ask("SELECT current_setting('ragsite.tenant')") == [(str(ours.tenant.pk),)]
    with row_security.nobody():
        assert ask("SELECT nullif(current_setting('ragsite.tenant', true), '')") == [(None,)]
        assert APIKey.objects.count() == 0


@pytest.mark.django_db(databases=["default", "owner"])
def test_the_tables_owner_is_walled_too(ours: Party) -> None:
    with row_security.nobody(), connections["owner"].cursor() as cursor:
        for model in owned():
            if model is not Chunk:  # its owner reads it, for the search of words
                cursor.execute(f"SELECT count(*) FROM {model._meta.db_table}")  # noqa: S608  a constant
                assert cursor.fetchone() == (0,)
