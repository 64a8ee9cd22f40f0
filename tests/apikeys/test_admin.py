"""Keys in the admin: made, shown once, rotated."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from apikeys.models import APIKey, KeyCollection
from documents.models import Collection
from tests.apikeys.admitting import admit
from tests.makers import Party, make_user

pytestmark = pytest.mark.django_db
ADD = "admin:apikeys_apikey_add"
LIST = "admin:apikeys_apikey_changelist"
RAW = re.compile(r"rag_[0-9a-f]{32}")


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    return client


def form(party: Party, **changes: str) -> dict[str, object]:
    asked = {
        "name": "made here", "tenant": str(party.tenant.pk), "owner": str(party.business.pk), "scopes": ["query"],
        "networks": "", "rate_limit": "60", "burst": "20", "monthly_budget_usd": "", "collections": "",
    }  # fmt: skip
    return {**asked, **changes}


def shown(response: Any) -> list[str]:
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    return RAW.findall(response.content.decode())


def test_a_key_that_is_made_is_shown_once(operator: Client, ours: Party) -> None:
    assert operator.get(reverse(ADD)).status_code == 200
    (raw,) = shown(operator.post(reverse(ADD), form(ours)))
    found = admit(raw)
    made = APIKey.objects.get(pk=str(found.caller.key_id))
    assert (made.tenant, made.owner, made.scopes, made.restricted) == (
        ours.tenant,
        ours.business,
        ["query"],
        False,
    )
    assert LogEntry.objects.get().object_id == str(made.pk)
    for page in (reverse(LIST), reverse("admin:apikeys_apikey_change", args=[made.pk])):
        content = operator.get(page).content.decode()
        assert made.key_prefix in content
        assert raw not in content


def test_it_reads_the_collections_that_are_named(operator: Client, ours: Party, theirs: Party) -> None:
    for party, name in ((ours, "manuals"), (ours, "letters"), (theirs, "secrets")):
        Collection.objects.create(tenant=party.tenant, name=name)
    (raw,) = shown(operator.post(reverse(ADD), form(ours, collections="manuals")))
    made = APIKey.objects.get(pk=str(admit(raw).caller.key_id))
    assert [row.collection.name for row in KeyCollection.objects.filter(key=made)] == ["manuals"]
    refused = operator.post(reverse(ADD), form(ours, collections="manuals, secrets"))
    assert "The tenant has no collection secrets." in refused.content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [("networks", "10.0.0.0/99"), ("rate_limit", "0"), ("monthly_budget_usd", "-1"), ("name", "")],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    operator: Client, ours: Party, field: str, value: str
) -> None:
    before = APIKey.objects.count()
    response = operator.post(reverse(ADD), form(ours, **{field: value}))
    assert response.status_code == 200
    assert not RAW.search(response.content.decode())
    assert APIKey.objects.count() == before


def test_the_owner_is_of_the_tenant(operator: Client, ours: Party, theirs: Party) -> None:
    response = operator.post(reverse(ADD), form(ours, owner=str(theirs.business.pk)))
    assert "The owner is a person of the key&#x27;s tenant." in response.content.decode()


def test_rotated_keys_are_shown_once(operator: Client, ours: Party, theirs: Party) -> None:
    picked = {"action": "rotate", "_selected_action": [str(ours.key.pk), str(theirs.key.pk)]}
    made = shown(operator.post(reverse(LIST), picked))
    assert {admit(raw).caller.tenant_id for raw in made} == {ours.tenant.pk, theirs.tenant.pk}
    assert admit(ours.raw)  # for a day more
    again = operator.post(reverse(LIST), picked, follow=True)
    assert "Only a key in use that has no successor yet can be rotated." in again.content.decode()
