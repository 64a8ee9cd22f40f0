"""A key is shown once, and is nowhere else."""

import logging
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from apikeys import keys
from apikeys.models import APIKey
from documents.intake import collection_named
from ragsite.lib.errors import Conflict, NotFound
from ragsite.lib.fields import StrictUUID
from tests.makers import Party, make_key, make_user
from tests.problems import problem


def test_shape_of_keys() -> None:
    made = {keys.generate() for _ in range(100)}
    assert len(made) == 100
    assert all(keys.has_shape(raw) for raw in made)
    raw = made.pop()
    for wrong in (raw[:-1], raw + "0", raw.upper(), raw + "\n", " " + raw, "", "rag_" + "g" * 32):
        assert not keys.has_shape(wrong)


@pytest.fixture
def made(ours: Party) -> dict[str, Any]:
    response = ours.business_client.post("/api/keys", {"name": "a program"}, format="json")
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.json()
    return body


def test_new_key_is_shown_once(ours: Party, made: dict[str, Any]) -> None:
    raw = made["key"]
    assert keys.has_shape(raw)
    assert made["scopes"] == ["query"]
    assert (made["rate_limit"], made["burst"], made["collections"]) == (60, 20, None)
    assert Client(HTTP_X_API_KEY=raw).get("/api/keys/self").json()["id"] == made["id"]
    for path in ("/api/keys", f"/api/keys/{made['id']}", "/api/usage", f"/api/keys/{made['id']}/usage"):
        shown = ours.business_client.get(path).content.decode()
        assert raw not in shown
        assert keys.digest(raw) not in shown


def test_stored_is_a_hash_and_a_prefix(made: dict[str, Any]) -> None:
    key = APIKey.objects.across_tenants().get(pk=made["id"])
    assert key.key_hash == keys.digest(made["key"])
    assert made["key"].startswith(key.key_prefix)
    assert len(key.key_prefix) == 12
    assert made["key"] not in f"{key!s} {key!r} {vars(key)}"


def test_key_is_not_logged(ours: Party, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    raw = ours.business_client.post("/api/keys", {"name": "x"}, format="json").json()["key"]
    client = Client(HTTP_X_API_KEY=raw, raise_request_exception=False)
    client.get("/api/keys/self")
    client.get("/api/keys")
    Client(HTTP_AUTHORIZATION=f"Bearer {raw}").get("/api/nothing")
    assert raw not in caplog.text


def test_admin_never_shows_it(made: dict[str, Any]) -> None:
    operator = Client()
    operator.force_login(make_user("operator", is_staff=True, is_superuser=True))
    for path in ("/admin/apikeys/apikey/", f"/admin/apikeys/apikey/{made['id']}/change/"):
        shown = operator.get(path).content.decode()
        assert made["key"][:12] in shown
        assert made["key"] not in shown
        assert keys.digest(made["key"]) not in shown


def test_rotated_key_is_shown_once(ours: Party) -> None:
    path = f"/api/keys/{ours.key.pk}/rotate"
    response = ours.business_client.post(path, {"overlap_seconds": 60}, format="json")
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    assert body["rotated_from"] == str(ours.key.pk)
    assert Client(HTTP_X_API_KEY=body["key"]).get("/api/keys/self").status_code == 200
    problem(ours.business_client.post(path, {}, format="json"), 409, "not_rotatable")


def test_revoked_and_expired_keys_cannot_be_rotated(ours: Party) -> None:
    keys.revoke(ours.key)
    expired, _ = make_key(ours.tenant, expires_at=timezone.now() - timedelta(seconds=1))
    for key in (ours.key, expired):
        with pytest.raises(Conflict):
            keys.rotate(key)


def test_revoking_is_final_and_twice_is_once(ours: Party) -> None:
    path = f"/api/keys/{ours.key.pk}/revoke"
    first, second = (ours.business_client.post(path).json()["revoked_at"] for _ in range(2))
    assert first == second is not None
    problem(ours.client.get("/api/keys/self"), 401)


def test_key_cannot_make_keys_or_widen_itself(ours: Party) -> None:
    for path in ("/api/keys", f"/api/keys/{ours.key.pk}/rotate", f"/api/keys/{ours.key.pk}/revoke"):
        problem(ours.client.post(path, {"name": "x"}, format="json"), 403, "scope")
    assert APIKey.objects.for_tenant(ours.tenant).count() == 1


def test_everything_that_a_key_can_be_given(ours: Party) -> None:
    collection = collection_named(ours.tenant, "handbook")
    wanted = {
        "name": "<b>bold</b>",
        "scopes": ["ingest", "query"],
        "collections": [str(collection.pk)],
        "networks": ["10.0.0.0/8", "2001:db8::/32"],
        "rate_limit": 5,
        "burst": 2,
        "monthly_budget_usd": "12.5000",
        "expires_at": (timezone.now() + timedelta(days=1)).isoformat().replace("+00:00", "Z"),
    }
    response = ours.business_client.post("/api/keys", wanted, format="json")
    assert response.status_code == 201, response.content
    body = response.json()
    assert {name: body[name] for name in wanted} == wanted
    assert body["owner"] == ours.business.username
    assert {
        name: ours.business_client.get(f"/api/keys/{body['id']}").json()[name] for name in wanted
    } == wanted


def test_unknown_collections_are_not_found(ours: Party, theirs: Party) -> None:
    for pk in (uuid4(), collection_named(theirs.tenant, "theirs").pk):
        with pytest.raises(NotFound):
            keys.existing_collections(ours.tenant.pk, [pk])
    assert keys.existing_collections(ours.tenant.pk, None) is None
    assert keys.existing_collections(ours.tenant.pk, []) == []


def test_key_of_a_deleted_collection_reads_nothing(ours: Party) -> None:
    collection = collection_named(ours.tenant, "handbook")
    _, raw = make_key(ours.tenant, collection_ids=[collection.pk])
    collection.delete()
    assert Client(HTTP_X_API_KEY=raw).get("/api/keys/self").json()["collections"] == []


def test_ids_are_strings() -> None:
    with pytest.raises(Exception, match="UUID"):
        StrictUUID().run_validation(5)


def test_list_costs_a_bounded_number_of_queries(ours: Party, django_assert_max_num_queries: Any) -> None:
    for _ in range(15):
        make_key(ours.tenant, owner=ours.business)
    with django_assert_max_num_queries(4):
        body = ours.business_client.get("/api/keys?limit=10").json()
    assert len(body["results"]) == 10
    assert body["previous"] is None
    rest = ours.business_client.get(body["next"]).json()
    assert len(rest["results"]) == 6
    assert rest["next"] is None
