"""What people change is on record: who, when, from where, before and after, and nothing secret."""

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import Tenant, User
from apikeys import keys, usage
from apikeys.models import APIKey
from documents.intake import collection_named
from ragsite.lib import audit
from ragsite.lib.identifiers import uuid7
from tests.accounts.test_admin import page, submit
from tests.makers import PASSWORD, Party, make_key, make_user

pytestmark = pytest.mark.django_db
LOG = reverse("admin:auditlog_logentry_changelist")
HOSTILE = "<script>alert('x')</script>&\"'{{ 7 }}"
FAST = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    return client


def entries(row: Any) -> list[LogEntry]:
    return list(LogEntry.objects.get_for_object(row).order_by("timestamp", "pk"))


def last(row: Any) -> LogEntry:
    return entries(row)[-1]


def token_client(user: User, settings: Any) -> Client:
    settings.PASSWORD_HASHERS = FAST
    user.set_password(PASSWORD)
    user.save()
    body = {"username": user.username, "password": PASSWORD}
    token = Client().post("/api/token", body, content_type="application/json").json()["access"]
    return Client(HTTP_AUTHORIZATION=f"Bearer {token}")


def test_key_made_with_a_token(ours: Party, settings: Any) -> None:
    """DRF signs the caller in later than any middleware runs."""
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    client = token_client(ours.business, settings)
    handbook = collection_named(ours.tenant, "handbook")
    response = client.post(
        "/api/keys",
        {"name": "a program", "rate_limit": 7, "networks": ["10.0.0.0/8"], "collections": [str(handbook.pk)]},
        content_type="application/json",
        headers={"X-Forwarded-For": "6.6.6.6, 192.0.2.7", "X-Correlation-ID": "forged"},
    )
    made, given = entries(APIKey.objects.for_tenant(ours.tenant).get(pk=response.json()["id"]))
    assert made.action == LogEntry.Action.CREATE
    assert made.changes["rate_limit"] == [None, 7]
    assert made.changes["networks"] == [None, ["10.0.0.0/8"]]
    assert given.changes == {"collections": [[], ["handbook"]]}
    for entry in (made, given):
        assert entry.actor == ours.business
        assert entry.additional_data == {"tenant": str(ours.tenant.pk), "by": ours.business.username}
        assert entry.remote_addr == "192.0.2.7"
        assert entry.cid == response["X-Request-ID"]


def test_rotation_and_revocation(ours: Party) -> None:
    client = Client()
    client.force_login(ours.business)  # a session through DRF
    keys_of = APIKey.objects.for_tenant(ours.tenant)
    response = client.post(f"/api/keys/{ours.key.pk}/rotate", {}, content_type="application/json")
    successor = keys_of.get(pk=response.json()["id"])
    assert last(successor).changes["rotated_from"] == [None, str(ours.key.pk)]
    assert set(last(ours.key).changes) == {"expires_at"}
    for _ in range(2):
        client.post(f"/api/keys/{successor.pk}/revoke")
    created, revoked = entries(successor)
    assert set(revoked.changes) == {"revoked_at"}
    assert revoked.changes["revoked_at"][0] is None
    assert revoked.actor == ours.business
    assert created.pk < revoked.pk


def test_admin(operator: Client, ours: Party) -> None:
    submit(operator, APIKey, ours.key.pk, rate_limit=7, monthly_budget_usd="12.5")
    assert last(ours.key).changes == {"rate_limit": [60_000, 7], "monthly_budget_usd": [None, "12.5"]}
    submit(operator, Tenant, ours.tenant.pk, top_k=9, prompt="Be brief.")
    assert last(ours.tenant).changes == {"top_k": [5, 9], "prompt": ["", "Be brief."]}
    submit(operator, User, ours.user.pk, role="business")
    assert last(ours.user).changes == {"role": ["user", "business"]}
    data = {"action": "revoke", "_selected_action": [str(ours.key.pk)]}
    operator.post(page(APIKey, "changelist"), data)
    assert set(last(ours.key).changes) == {"revoked_at"}
    for row in (ours.key, ours.tenant, ours.user):
        assert last(row).additional_data["by"] == "operator"
        assert last(row).remote_addr == "127.0.0.1"


def test_password(operator: Client, ours: Party, settings: Any) -> None:
    settings.PASSWORD_HASHERS = FAST
    path = reverse("admin:auth_user_password_change", args=[ours.user.pk])
    assert operator.post(path, {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}).status_code == 302  # fmt: skip
    entry = last(ours.user)
    assert entry.changes == {"password": [audit.HIDDEN, audit.HIDDEN]}
    assert entry.additional_data["by"] == "operator"


def test_better_hash_at_sign_in_is_no_change_of_the_password(ours: Party, settings: Any) -> None:
    settings.PASSWORD_HASHERS = [*FAST, "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    old = make_password(PASSWORD, hasher="pbkdf2_sha256")
    User.objects.filter(pk=ours.user.pk).update(password=old)
    before = len(entries(ours.user))
    assert Client().login(username=ours.user.username, password=PASSWORD)
    ours.user.refresh_from_db()
    assert ours.user.password != old
    assert ours.user.last_login is not None
    assert len(entries(ours.user)) == before


def test_what_the_machine_changes_is_not_logged(ours: Party) -> None:
    before = LogEntry.objects.count()
    usage.write([usage.Entry(id=uuid7(), tenant_id=ours.tenant.pk, endpoint="/", method="GET", status=200, milliseconds=1, key_id=ours.key.pk)])  # fmt: skip
    ours.key.last_used_at = timezone.now()
    ours.key.usage_count = 99
    ours.key.save()
    ours.tenant.corpus_version = 99
    ours.tenant.save()
    ours.client.get("/api/keys/self")
    assert LogEntry.objects.count() == before


def test_outside_a_request_it_is_the_system(ours: Party) -> None:
    keys.revoke(ours.key)
    entry = last(ours.key)
    assert (entry.actor, entry.cid, entry.remote_addr) == (None, None, None)
    assert entry.additional_data["by"] == "system"


def test_key_that_acts_is_named(ours: Party, rf: RequestFactory) -> None:
    def view(request: Any) -> Any:
        from apikeys.callers import Caller

        request.user = Caller(tenant_id=ours.tenant.pk, key_id=ours.key.pk)  # as DRF leaves it
        ours.tenant.name = "Renamed"
        ours.tenant.save()

    request = rf.get("/")
    request.META["ragsite.id"] = uuid7()
    audit.RemembersRequest(view)(request)
    assert last(ours.tenant).additional_data["by"] == f"API key {ours.key.pk}"
    ours.tenant.name = "Again"
    ours.tenant.save()
    assert last(ours.tenant).additional_data["by"] == "system"  # the request is over, and forgotten


def test_collection_taken_from_a_key(ours: Party) -> None:
    collection = collection_named(ours.tenant, "handbook")
    key, _ = make_key(ours.tenant, collection_ids=[collection.pk])
    collection.delete()
    entry = LogEntry.objects.get(content_type__model="keycollection")
    assert entry.action == LogEntry.Action.DELETE
    assert entry.changes["key"] == [str(key.pk), None]
    assert "handbook" in entry.object_repr


def test_change_that_is_taken_back_takes_its_entry_along(ours: Party) -> None:
    before = LogEntry.objects.count()
    with transaction.atomic():
        keys.rotate(ours.key, overlap=timedelta(0))
        assert LogEntry.objects.count() > before
        transaction.set_rollback(True)
    assert LogEntry.objects.count() == before


def test_no_secret_is_in_it(operator: Client, ours: Party, settings: Any) -> None:
    """The whole table, after a tour of everything that touches a secret."""
    client = token_client(ours.business, settings)
    made = [
        client.post("/api/keys", {"name": f"k{n}"}, content_type="application/json").json() for n in range(3)
    ]
    made.append(client.post(f"/api/keys/{made[0]['id']}/rotate", {}, content_type="application/json").json())
    client.post(f"/api/keys/{made[1]['id']}/revoke")
    submit(operator, APIKey, made[2]["id"], rate_limit=5)
    data = {"username": "new", "tenant": ours.tenant.pk, "role": "user", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}  # fmt: skip
    assert operator.post(page(User, "add"), data).status_code == 302
    User.objects.get(username="new").delete()
    ours.key.delete()
    hashes = [user.password for user in User.objects.all()]
    raws = [ours.raw, *(body["key"] for body in made)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(e::text, E'\n') FROM auditlog_logentry AS e")
        (dump,) = cursor.fetchone()
    assert "k1" in dump
    for secret in [*raws, *map(keys.digest, raws), *hashes, PASSWORD, "md5$"]:
        assert secret not in dump


def test_no_audited_field_looks_like_a_secret() -> None:
    from auditlog.registry import auditlog

    for model in auditlog.get_models():
        fields = auditlog.get_model_fields(model)
        logged = set(fields["include_fields"]) - set(fields["mask_fields"])
        suspect = {name for name in logged if any(word in name for word in ("hash", "password", "dsn", "token", "secret"))}  # fmt: skip
        assert suspect == set(), model


# The pages --------------------------------------------------------------------------------------------------------


def test_list(operator: Client, ours: Party, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(25):
        Tenant.objects.create(name=f"{HOSTILE} {number}", slug=f"tenant-{number}")
    submit(operator, Tenant, ours.tenant.pk, name=HOSTILE)
    with django_assert_max_num_queries(12):
        response = operator.get(LOG)
    assert response.status_code == 200
    shown = response.content.decode()
    assert "<script>alert" not in shown
    assert LogEntry.objects.exclude(cid=None).latest().cid in shown
    for query in (
        {"q": "operator"},
        {"q": HOSTILE},
        {"object_pk": str(ours.tenant.pk)},
        {"action__exact": "1"},
    ):
        assert operator.get(LOG, query).status_code == 200


def test_entry_shows_before_and_after(operator: Client, ours: Party) -> None:
    submit(operator, Tenant, ours.tenant.pk, name=HOSTILE)
    entry = last(ours.tenant)
    shown = operator.get(reverse("admin:auditlog_logentry_change", args=[entry.pk])).content.decode()
    assert "<td>Ours</td>" in shown
    assert "<script>alert" not in shown
    assert "&lt;script&gt;" in shown


def test_nobody_changes_it(operator: Client, ours: Party) -> None:
    pk = last(ours.tenant).pk
    assert operator.post(reverse("admin:auditlog_logentry_change", args=[pk]), {"by": "x"}).status_code == 403
    assert operator.post(reverse("admin:auditlog_logentry_delete", args=[pk])).status_code == 403
    assert operator.get(reverse("admin:auditlog_logentry_add")).status_code == 403


def test_history_of_a_row_leads_here(operator: Client, ours: Party) -> None:
    for row in (ours.tenant, ours.user, ours.key):
        response = operator.get(page(type(row), "history", row.pk), follow=True)
        assert response.redirect_chain[0][0] == f"{LOG}?object_pk={row.pk}"
        assert str(row.pk) in response.content.decode() or str(row) in response.content.decode()


def test_request_that_changes_nothing_asks_nothing_more(
    ours: Party, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """The library's own middleware would look up the session of each."""
    client = Client()
    client.force_login(ours.business)
    with django_assert_num_queries(0):
        client.get("/health")
