"""Whose an Idempotency-Key is while its request runs, and afterwards."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from apikeys import idempotency
from apikeys.callers import Caller
from apikeys.models import APIKey
from queries.models import Query
from ragsite.lib import row_security
from tests.makers import Party
from tests.repeating import ask, kept

pytestmark = pytest.mark.django_db


def sending(party: Party, *, body: Any = None) -> idempotency.Sent:
    caller = Caller(tenant_id=party.tenant.pk, key_id=party.key.pk)
    return idempotency.sent(caller, endpoint="/api/query", key="k", body=body or {}, claim=uuid4())


def test_who_was_overtaken_neither_keeps_nor_frees(ours: Party) -> None:
    slow, quick = sending(ours), sending(ours)
    assert idempotency.begin(slow) is None
    kept().update(leased_until=timezone.now())
    assert idempotency.begin(quick) is None
    idempotency.release(slow)
    idempotency.keep(slow, idempotency.Kept(200, "application/json", {}, b"slow"))
    idempotency.keep(quick, idempotency.Kept(200, "application/json", {}, b"quick"))
    idempotency.release(quick)  # too late: what was answered stays answered
    again = idempotency.begin(sending(ours))
    assert again is not None
    assert again.body == b"quick"


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_runs(ours: Party) -> None:
    def claimed() -> bool:
        try:
            return idempotency._claimed(sending(ours))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8, initializer=row_security.enter_across) as pool:
        assert sum(pool.map(lambda _: claimed(), range(80))) == 1


@pytest.mark.django_db(transaction=True)
def test_the_copy_of_a_deleted_tenants_key_gets_nothing(ours: Party) -> None:
    ask(ours.client, None)
    APIKey.objects.for_tenant(ours.tenant).all()._raw_delete("default")
    Query.objects.for_tenant(ours.tenant).delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_user WHERE tenant_id = %s", [ours.tenant.pk])
        cursor.execute("DELETE FROM accounts_tenant WHERE id = %s", [ours.tenant.pk])
    assert ask(ours.client).status_code == 401


def test_pages_of_other_origins_may_send_and_read_the_headers(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "idempotency-key",
    }
    allowed = Client().options("/api/query", headers=asked)
    assert "idempotency-key" in allowed["Access-Control-Allow-Headers"]
    answered = Client().get("/api/history", headers={"Origin": "https://app.example"})
    assert "Idempotency-Replayed" in answered["Access-Control-Expose-Headers"]
