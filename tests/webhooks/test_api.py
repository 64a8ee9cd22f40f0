"""Webhooks over HTTP: made, changed, rotated, tested, removed; the secret is shown once."""

from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.utils import timezone

from ragsite.lib import crypto
from tests.makers import Party
from tests.problems import problem
from tests.webhooks.making import deliver, make_webhook
from tests.webhooks.receiver import Receiver
from webhooks import deliveries, endpoints
from webhooks.models import Delivery, Endpoint

pytestmark = pytest.mark.django_db
URL = "https://hooks.example/ragsite"


def post(party: Party, path: str = "/api/webhooks", **body: Any) -> Any:
    return party.business_client.post(path, body, format="json")


def patch(party: Party, endpoint: Endpoint, **body: Any) -> Any:
    return party.business_client.patch(f"/api/webhooks/{endpoint.pk}", body, format="json")


def get(party: Party, path: str) -> Any:
    return party.business_client.get(path).json()


def test_made_and_shown_once(ours: Party) -> None:
    answer = post(ours, url=URL, description="the archive")
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    made = answer.json()
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["document.failed", "document.ready"]
    secret = made.pop("secret")
    assert get(ours, f"/api/webhooks/{made['id']}") == made
    assert get(ours, "/api/webhooks")["results"] == [made]
    row = Endpoint.objects.for_tenant(ours.tenant).get()
    assert secret not in f"{row.__dict__}{row!r}{row}"
    assert crypto.unseal(row.secret) == secret


def test_rotated(ours: Party) -> None:
    endpoint, old = make_webhook(ours, URL)
    answer = post(ours, f"/api/webhooks/{endpoint.pk}/rotate", overlap_seconds=3_600)
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert answer.json()["secret"] != old
    assert answer.json()["previous_until"] is not None
    answer = post(ours, f"/api/webhooks/{endpoint.pk}/rotate", overlap_seconds=0)
    endpoint.refresh_from_db()
    assert (answer.json()["previous_until"], endpoint.previous_secret) == (None, "")


def test_changed_and_switched(ours: Party) -> None:
    endpoint, _ = make_webhook(ours, URL)
    changed = patch(ours, endpoint, url=f"{URL}/2", events=["document.failed"], enabled=False).json()
    assert (changed["url"], changed["events"]) == (f"{URL}/2", ["document.failed"])
    assert (changed["enabled"], changed["disabled_because"]) == (False, "by_hand")
    problem(post(ours, f"/api/webhooks/{endpoint.pk}/test"), 409, "webhook_disabled")
    again = patch(ours, endpoint, enabled=True).json()
    assert (again["enabled"], again["disabled_because"], again["disabled_at"]) == (True, "", None)
    assert patch(ours, endpoint).json() == again


def test_a_webhook_that_was_switched_off_for_failing_begins_anew(ours: Party) -> None:
    endpoint, _ = make_webhook(ours, URL)
    Endpoint.objects.across_tenants().update(failing_since=timezone.now() - timedelta(days=9))
    endpoints.disable(ours.tenant.pk, endpoint.pk, why=Endpoint.Disabled.FAILING)
    assert get(ours, f"/api/webhooks/{endpoint.pk}")["disabled_because"] == "failing"
    assert patch(ours, endpoint, enabled=True).json()["failing_since"] is None


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("url", "http://hooks.example/", "url"),
        ("url", "https://10.0.0.1/", "url"),
        ("url", "https://[::1]/", "url"),
        ("url", "https://user:password@hooks.example/", "url"),
        ("url", 7, "invalid"),
        ("url", "", "blank"),
        ("events", [], "empty"),
        ("events", ["document.exploded"], "invalid_choice"),
        ("secret", "whsec_mine", "unknown"),
    ],
)
def test_refused(ours: Party, settings: Any, field: str, value: object, code: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    endpoint, _ = make_webhook(ours, URL)
    body: dict[str, Any] = {"url": URL, field: value}
    for answer in (post(ours, **body), patch(ours, endpoint, **{field: value})):
        (error,) = problem(answer, 400, "invalid")["errors"]
        assert error["field"].split(".")[0] == field
        assert error["code"] == code
    assert Endpoint.objects.across_tenants().count() == 1


def test_no_more_than_some(ours: Party, theirs: Party) -> None:
    for _ in range(endpoints.MOST_OF_A_TENANT):
        make_webhook(ours, URL)
    problem(post(ours, url=URL), 409, "too_many_webhooks")
    assert post(theirs, url=URL).status_code == 201


def test_a_test_is_sent_once_at_a_time_and_its_tries_are_shown(ours: Party, receiver: Receiver) -> None:
    endpoint, _ = make_webhook(ours, receiver.url)
    answer = post(ours, f"/api/webhooks/{endpoint.pk}/test")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    problem(post(ours, f"/api/webhooks/{endpoint.pk}/test"), 409, "in_progress")
    deliver()
    (row,) = get(ours, f"/api/webhooks/{endpoint.pk}/deliveries")["results"]
    assert row["message_id"] == receiver.received[0].headers["webhook-id"]
    assert (row["event"], row["document_id"], row["status"]) == ("webhook.test", None, "delivered")
    assert [(tried["status"], tried["error_code"]) for tried in row["tries"]] == [(204, "")]
    assert row["next_try_at"] is None
    assert post(ours, f"/api/webhooks/{endpoint.pk}/test").status_code == 202


def test_removed_with_its_deliveries(ours: Party, receiver: Receiver) -> None:
    endpoint, _ = make_webhook(ours, receiver.url)
    endpoints.send_test(endpoint)
    assert ours.business_client.delete(f"/api/webhooks/{endpoint.pk}").status_code == 204
    problem(ours.business_client.get(f"/api/webhooks/{endpoint.pk}"), 404)
    assert not Delivery.objects.across_tenants().exists()


def test_changes_are_on_record_and_hold_no_secret(ours: Party) -> None:
    identifier = post(ours, url=URL).json()["id"]
    endpoint = Endpoint.objects.for_tenant(ours.tenant).get()
    first = endpoint.secret
    post(ours, f"/api/webhooks/{identifier}/rotate")
    endpoints.disable(ours.tenant.pk, endpoint.pk, why=Endpoint.Disabled.GONE)
    entries = LogEntry.objects.get_for_object(endpoint).order_by("pk")
    assert [entry.additional_data["by"] for entry in entries] == ["ours-business", "ours-business", "system"]
    endpoint.refresh_from_db()
    for entry in entries:
        assert first not in str(entry.changes)
        assert endpoint.secret not in str(entry.changes)
    assert entries[1].changes["secret"] == ["(hidden)", "(hidden)"]
    assert entries[2].changes["disabled_because"] == ["", "gone"]


def test_secrets_are_encrypted_anew_with_the_first_key(ours: Party, theirs: Party, settings: Any) -> None:
    old, new = settings.ENCRYPTION_KEY, Fernet.generate_key().decode()
    made = [make_webhook(party, URL) for party in (ours, theirs)]
    rotated = endpoints.rotate(made[0][0], overlap=timedelta(hours=1))[1]
    settings.ENCRYPTION_KEY = new
    with pytest.raises(CommandError):
        call_command("reencrypt")
    settings.ENCRYPTION_KEY = f"{new},{old}"
    call_command("reencrypt")
    settings.ENCRYPTION_KEY = new
    rows = [Endpoint.objects.across_tenants().get(pk=endpoint.pk) for endpoint, _ in made]
    assert [deliveries.secrets(row) for row in rows] == [[rotated, made[0][1]], [made[1][1]]]
