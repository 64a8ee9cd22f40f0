"""A tenant goes with everything that is its own, and with nothing of anyone else's."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.apps import apps
from django.conf import settings as configured
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db.models import DO_NOTHING
from django.test import Client

from accounts.models import Tenant
from apikeys import keys, usage
from documents.models import Chunk, Collection, Document
from queries import recording, removal
from queries.evaluations import running, runs, sets
from ragsite.lib import redis_client
from ragsite.lib.identifiers import uuid7
from tests.accounts.test_admin import submit
from tests.makers import Party, ingest, make_key, make_party, make_user
from tests.outages import redis_refused, redis_waited_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def redis_has_time() -> Iterator[None]:
    """What is told to Redis and given up on may arrive after the last sweep; see `manage.py prune`."""
    with redis_waited_for():
        yield


SHARED = {Permission, ContentType}


def live(party: Party, operator: Client) -> None:
    """Leaves something of a party wherever something can be left."""
    ingest(
        party.tenant, f"The {party.tenant.name} handbook says that leave is 25 days.", collection="handbook"
    )
    handbook = Collection.objects.for_tenant(party.tenant).get()
    key, raw = make_key(party.tenant, owner=party.business, collection_ids=[handbook.pk])
    keys.rotate(key)
    for _ in range(2):
        asked = party.client.post("/api/query", {"question": "How long is leave?"}, format="json")
        assert asked.status_code == 200
    party.client.post(f"/api/history/{asked.json()['id']}/feedback", {"rating": "up"}, format="json")
    for client in (party.client, party.user_client):
        begun = client.post("/api/chat", {"message": "How long is leave?"}, format="json").json()
        follow_up = {"message": "And who says so?", "conversation_id": begun["conversation_id"]}
        told = client.post("/api/chat", follow_up, format="json").json()
        rated = client.post(f"/api/history/{told['id']}/feedback", {"rating": "up"}, format="json")
        assert rated.status_code == 200
    Client(HTTP_X_API_KEY=raw).get("/api/keys/self")
    drain()
    few = sets.upload(party.tenant.pk, name="leave", content=b"question\nHow long is leave?\n")
    runs.begin(few, answers=False)
    running.step()
    browser = Client()
    browser.force_login(party.user)
    browser.get("/api/history")
    submit(operator, Tenant, party.tenant.pk, top_k=7)
    submit(operator, Collection, handbook.pk, name="guide")


def drain() -> None:
    redis = recording.client()
    recording.prepare(redis)
    recording.drain(redis, block_ms=None)
    redis.close()


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    return client


def rows() -> dict[str, list[str]]:
    """Every row of every table as text; a session as what it holds."""
    found = {}
    for model in apps.get_models(include_auto_created=True):
        if model not in SHARED:
            found[model._meta.label] = [str(row) for row in model._base_manager.values_list()]
    found["sessions.Session"] = [str(session.get_decoded()) for session in Session.objects.all()]
    return found


def redis_texts() -> Iterator[str]:
    client: Any = redis_client.client()
    readers: dict[bytes, Any] = {
        b"string": lambda name: [client.get(name)],
        b"hash": lambda name: client.hgetall(name).items(),
        b"stream": client.xrange,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"set": client.smembers,
        b"zset": lambda name: client.zrange(name, 0, -1),
    }
    for name in client.scan_iter():
        yield from (f"{name} {value}" for value in readers[client.type(name)](name))


def identifiers(party: Party) -> set[str]:
    owned: list[Any] = [
        model for model in apps.get_models() if any(field.name == "tenant" for field in model._meta.fields)
    ]
    found = {str(party.tenant.pk), keys.digest(party.raw), party.raw}
    for model in owned:
        for pk in model._base_manager.filter(tenant=party.tenant).values_list("pk", flat=True):
            found |= {str(part) for part in (pk if isinstance(pk, tuple) else [pk]) if len(str(part)) >= 32}
    return found


def files_of(party: Party) -> list[Path]:
    return list(Path(configured.MEDIA_ROOT).rglob(f"*{party.tenant.pk}*"))


def traces(names: set[str]) -> list[str]:
    texts = [*(f"{label}: {row}" for label, found in rows().items() for row in found), *redis_texts()]
    return [text for text in texts if any(name in text for name in names)]


def shut(party: Party) -> None:
    party.tenant.active = False
    party.tenant.save()


def test_one_goes_and_the_other_stays(operator: Client) -> None:
    ours, theirs = make_party("ours"), make_party("theirs")
    for party in (ours, theirs):
        live(party, operator)
    names = {party: identifiers(party) for party in (ours, theirs)}
    assert len(names[ours]) > 12
    shared = names[ours] & names[theirs]  # the embedding space is everybody's
    assert len(shared) == 1
    for party in names:
        names[party] -= shared
    assert len(traces(names[ours])) > 20
    assert files_of(ours)
    (Path(configured.MEDIA_ROOT) / str(ours.tenant.pk) / "left").write_text("by a process that died")
    usage.record(usage.Entry(id=uuid7(), tenant_id=ours.tenant.pk, endpoint="/", method="GET", status=200, milliseconds=1))  # fmt: skip
    before = traces(names[theirs])

    shut(ours)
    out = StringIO()
    call_command("delete_tenant", "ours", "--yes", stdout=out)

    assert out.getvalue() == "Ours is gone.\n"
    assert traces(names[ours]) == []
    assert files_of(ours) == []
    assert sorted(traces(names[theirs])) == sorted(before)
    assert files_of(theirs)
    answer = theirs.client.post("/api/query", {"question": "How long is leave?"}, format="json")
    assert answer.json()["sources"]
    entry = LogEntry.objects.filter(action=LogEntry.Action.DELETE).get()
    assert (entry.object_repr, entry.additional_data) == ("ours", {"by": "system"})


def test_refused_while_it_is_active(ours: Party) -> None:
    ingest(ours.tenant, "One.")
    with pytest.raises(CommandError, match="inactive first"):
        call_command("delete_tenant", "ours", "--yes")
    assert Document.objects.for_tenant(ours.tenant).count() == 1
    ours.tenant.active = False  # an object that was read earlier does not decide
    with pytest.raises(Exception, match="inactive first"):
        removal.remove(ours.tenant)


def test_slug_is_asked_for_again(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    shut(ours)
    monkeypatch.setattr("builtins.input", lambda _: "theirs")
    with pytest.raises(CommandError, match="another slug"):
        call_command("delete_tenant", "ours")
    assert Tenant.objects.filter(slug="ours").exists()
    monkeypatch.setattr("builtins.input", lambda _: "ours")
    call_command("delete_tenant", "ours", stdout=StringIO())
    assert not Tenant.objects.filter(slug="ours").exists()
    with pytest.raises(CommandError, match="no tenant"):
        call_command("delete_tenant", "ours")


def test_nothing_is_deleted_without_redis(ours: Party) -> None:
    ingest(ours.tenant, "One.")
    shut(ours)
    with redis_refused(), pytest.raises(CommandError, match="Redis"):
        call_command("delete_tenant", "ours", "--yes")
    assert Document.objects.for_tenant(ours.tenant).count() == 1


def test_request_that_was_under_way_leaves_nothing(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    shut(ours)
    tenant_id, delete = ours.tenant.pk, removal._delete

    def late() -> usage.Entry:
        return usage.Entry(id=uuid7(), tenant_id=tenant_id, endpoint="/", method="GET", status=200, milliseconds=1)  # fmt: skip

    def delete_meanwhile(tenant: Tenant) -> None:
        usage.write([late()])
        delete(tenant)
        usage.record(late())

    monkeypatch.setattr(removal, "_delete", delete_meanwhile)
    removal.remove(ours.tenant)
    assert traces({str(tenant_id)}) == []


def test_interrupted_removal_is_run_again(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(ours.tenant, "One.")
    shut(ours)
    with monkeypatch.context() as crash:
        crash.setattr(removal, "_delete", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            removal.remove(ours.tenant)
    assert not Chunk.objects.for_tenant(ours.tenant).exists()
    removal.remove(ours.tenant)
    assert not Tenant.objects.exists()


def test_every_row_that_no_cascade_takes_along_is_known() -> None:
    loose = {
        model
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.related_model is Tenant and getattr(field.remote_field, "on_delete", None) is DO_NOTHING
    }
    assert loose == set(removal.LOOSE)
