"""Webhooks in the admin: made, shown once, switched, sent again."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.accounts.test_admin import HOSTILE, page
from tests.makers import Party, make_document, make_user
from tests.webhooks.making import deliver, make_webhook, only
from tests.webhooks.receiver import Receiver
from webhooks import endpoints, outbox
from webhooks.models import Delivery, Endpoint, Event

pytestmark = pytest.mark.django_db
ADD = "admin:webhooks_endpoint_add"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
URL = "https://hooks.example/ragsite"


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    return client


def form(party: Party, **changes: Any) -> dict[str, Any]:
    return {
        "tenant": str(party.tenant.pk),
        "url": URL,
        "events": ["document.ready"],
        "description": "",
        **changes,
    }


def act(operator: Client, row: Any, action: str) -> Any:
    return operator.post(
        page(type(row), "changelist"), {"action": action, "_selected_action": str(row.pk)}, follow=True
    )


def test_made_and_shown_once(operator: Client, ours: Party) -> None:
    answer = operator.post(reverse(ADD), form(ours))
    assert "no-store" in answer["Cache-Control"]
    (secret,) = SECRET.findall(answer.content.decode())
    endpoint = Endpoint.objects.for_tenant(ours.tenant).get()
    for name in ("change", "history"):
        shown = operator.get(page(Endpoint, name, endpoint.pk), follow=True).content.decode()
        assert secret not in shown
        assert endpoint.secret not in shown
    answer = act(operator, endpoint, "rotate")
    assert SECRET.findall(answer.content.decode()) not in ([], [secret])


def test_an_address_inside_is_refused_on_the_form(operator: Client, ours: Party, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    endpoint, _ = make_webhook(ours, URL)
    for path in (reverse(ADD), page(Endpoint, "change", endpoint.pk)):
        answer = operator.post(path, form(ours, url="https://169.254.169.254/latest"))
        assert "no public network" in answer.content.decode()
    assert set(Endpoint.objects.across_tenants().values_list("url", flat=True)) == {URL}


def test_one_too_many_is_refused_on_the_form(
    operator: Client, ours: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "MOST_OF_A_TENANT", 1)
    operator.post(reverse(ADD), form(ours))
    answer = operator.post(reverse(ADD), form(ours, description="the second"))
    assert answer.status_code == 200
    assert "A tenant has no more than 1 webhooks." in answer.content.decode()
    assert 'value="the second"' in answer.content.decode()
    assert Endpoint.objects.for_tenant(ours.tenant).count() == 1


def test_changed_and_switched(operator: Client, ours: Party) -> None:
    endpoint, _ = make_webhook(ours, URL)
    operator.post(page(Endpoint, "change", endpoint.pk), form(ours, url=f"{URL}/2", description="archive"))
    for action, enabled in (("disable", False), ("enable", True)):
        act(operator, endpoint, action)
        endpoint.refresh_from_db()
        assert (endpoint.enabled, endpoint.url, endpoint.description) == (enabled, f"{URL}/2", "archive")


def test_sent_again(operator: Client, ours: Party, receiver: Receiver) -> None:
    make_webhook(ours, receiver.url)
    outbox.note(ours.tenant.pk, [make_document(ours.tenant, "x").pk], Event.DOCUMENT_READY)
    deliver()
    act(operator, only(ours), "send_again")
    assert "on its way already" in act(operator, only(ours), "send_again").content.decode()
    deliver()
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert [tried["status"] for tried in only(ours).tries] == [204, 204]


def test_deleted_with_its_deliveries(operator: Client, ours: Party, receiver: Receiver) -> None:
    endpoint, _ = make_webhook(ours, receiver.url)
    outbox.note(ours.tenant.pk, [make_document(ours.tenant, "x").pk], Event.DOCUMENT_READY)
    operator.post(page(Endpoint, "delete", endpoint.pk), {"post": "yes"})
    assert not Endpoint.objects.across_tenants().exists()
    assert not Delivery.objects.across_tenants().exists()


@pytest.mark.parametrize("model", [Endpoint, Delivery])
def test_lists(operator: Client, ours: Party, model: Any, django_assert_max_num_queries: Any) -> None:
    document = make_document(ours.tenant, "x").pk
    for _ in range(15):
        make_webhook(ours, URL, description=HOSTILE)
    outbox.note(ours.tenant.pk, [document], Event.DOCUMENT_READY)
    with django_assert_max_num_queries(12):
        shown = operator.get(page(model, "changelist")).content.decode()
    assert "<script>alert" not in shown
    assert operator.get(page(model, "changelist"), {"q": HOSTILE}).status_code == 200
