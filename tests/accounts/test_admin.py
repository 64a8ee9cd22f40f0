"""The pages of tenants, people and keys: they load, cost a bounded number of queries, and escape."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts import attempts
from accounts.models import Tenant, User
from apikeys import keys, usage
from apikeys.models import APIKey, Usage
from ragsite.lib.identifiers import uuid7
from tests.makers import PASSWORD, Party, make_key, make_party, make_user
from tests.outages import redis_refused
from tests.problems import problem

HOSTILE = "<script>alert('x')</script>&\"'{{ 7 }}"
MODELS = [Tenant, User, APIKey, Usage]


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    return client


def page(model: Any, name: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


def many(party: Party) -> None:
    for number in range(25):
        make_user(f"person {number} {HOSTILE}", tenant=party.tenant)
        key, _ = make_key(party.tenant, owner=party.business, scopes=["query"])
        key.name = HOSTILE
        key.save()
        usage.write(
            [usage.Entry(id=uuid7(), tenant_id=party.tenant.pk, endpoint=HOSTILE, method="POST", status=200, milliseconds=1, key_id=key.pk)]
        )  # fmt: skip
        Tenant.objects.create(name=f"{HOSTILE} {number}", slug=f"tenant-{number}")


@pytest.mark.parametrize("model", MODELS)
def test_lists(
    operator: Client, ours: Party, model: Any, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    many(ours)
    with django_assert_max_num_queries(12):
        response = operator.get(page(model, "changelist"))
    assert response.status_code == 200
    shown = response.content.decode()
    assert "<script>alert" not in shown
    assert ours.tenant.name in shown
    assert operator.get(page(model, "changelist"), {"q": HOSTILE}).status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_single_rows(operator: Client, ours: Party, model: Any) -> None:
    many(ours)
    row = model._base_manager.order_by("pk").last()
    response = operator.get(page(model, "change", row.pk))
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()


def test_forms_to_add(operator: Client) -> None:
    assert operator.get(page(Tenant, "add")).status_code == 200
    assert operator.get(page(User, "add")).status_code == 200


def submit(client: Client, model: Any, pk: object, **changes: Any) -> Any:
    form = client.get(page(model, "change", pk)).context["adminform"].form
    data = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    data = {name: ",".join(value) if isinstance(value, list) else value for name, value in data.items()}
    return client.post(page(model, "change", pk), data | changes)


@pytest.mark.django_db(transaction=True)
def test_closing_a_tenant_takes_effect_at_once(operator: Client) -> None:
    party = make_party("acme")
    assert party.client.get("/api/keys/self").status_code == 200
    form = operator.get(page(Tenant, "change", party.tenant.pk)).context["adminform"].form
    data = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    data.pop("active")
    assert operator.post(page(Tenant, "change", party.tenant.pk), data).status_code == 302
    problem(party.client.get("/api/keys/self"), 401)
    assert operator.post(page(Tenant, "change", party.tenant.pk), data | {"active": "on"}).status_code == 302
    assert party.client.get("/api/keys/self").status_code == 200


def test_saving_a_tenant_does_not_take_its_corpus_back(
    operator: Client, ours: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document is indexed between the reading of the row and its saving."""
    between(monkeypatch, "accounts.admin.TenantAdmin", lambda: Tenant.objects.update(corpus_version=70))
    assert submit(operator, Tenant, ours.tenant.pk, name="Renamed").status_code == 302
    ours.tenant.refresh_from_db()
    assert (ours.tenant.name, ours.tenant.corpus_version) == ("Renamed", 71)


def test_saving_a_key_does_not_undo_its_revocation(
    operator: Client, ours: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    between(
        monkeypatch,
        "apikeys.admin.APIKeyAdmin",
        lambda: keys.revoke(APIKey.objects.across_tenants().get(pk=ours.key.pk)),
    )
    assert submit(operator, APIKey, ours.key.pk, name="Renamed").status_code == 302
    ours.key.refresh_from_db()
    assert ours.key.name == "Renamed"
    assert ours.key.revoked_at is not None


def between(monkeypatch: pytest.MonkeyPatch, model_admin: str, happens: Callable[[], Any]) -> None:
    from django.utils.module_loading import import_string

    save = import_string(model_admin).save_model

    def save_model(self: Any, *arguments: Any, **more: Any) -> None:
        happens()
        save(self, *arguments, **more)

    monkeypatch.setattr(f"{model_admin}.save_model", save_model)


@pytest.mark.django_db(transaction=True)
def test_lower_limit_takes_effect_at_once(operator: Client) -> None:
    party = make_party("acme")
    assert party.client.get("/api/keys/self")["X-RateLimit-Limit"] == "60000"
    assert submit(operator, APIKey, party.key.pk, rate_limit=7).status_code == 302
    assert party.client.get("/api/keys/self")["X-RateLimit-Limit"] == "7"


def test_network_that_cannot_be_read_is_refused(operator: Client, ours: Party) -> None:
    response = submit(operator, APIKey, ours.key.pk, networks="10.0.0.0/8,nonsense")
    assert response.status_code == 200
    assert "networks" in response.context["adminform"].form.errors
    assert ours.client.get("/api/keys/self").status_code == 200


def test_revoking_in_the_list(operator: Client, ours: Party) -> None:
    data = {"action": "revoke", "_selected_action": [str(ours.key.pk)]}
    assert operator.post(page(APIKey, "changelist"), data).status_code == 302
    problem(ours.client.get("/api/keys/self"), 401)


def test_people_of_tenants_do_not_get_in(ours: Party) -> None:
    client = Client()
    client.force_login(ours.business)
    for model in MODELS:
        assert client.get(page(model, "changelist")).status_code == 302


def test_every_model_is_shown() -> None:
    assert {Tenant, User, APIKey, Usage} <= set(admin.site._registry)


@pytest.mark.parametrize("down", [False, True])
def test_tries_to_sign_in_are_limited(db: None, settings: Any, down: bool) -> None:  # noqa: FBT001  the two cases
    settings.TOKEN_RATE = "3/h"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    attempts.buckets.forget()
    operator = make_user("operator", is_staff=True, is_superuser=True)
    operator.set_password(PASSWORD)
    operator.save()
    if not down:
        tries(Client())
        return
    with redis_refused():
        tries(Client())


def tries(client: Client) -> None:
    wrong = {"username": "operator", "password": "wrong"}
    right = {"username": "operator", "password": PASSWORD}
    assert client.post("/admin/login/", right).status_code == 302
    for _ in range(2):
        assert client.post("/admin/login/", wrong).status_code == 200
    refused = client.post("/admin/login/", right)
    assert refused.status_code == 200
    assert "Too many tries" in refused.content.decode()
