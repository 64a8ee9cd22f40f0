"""Budgets from the request to the record of use, with a model that reports its tokens and has a price."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, cast

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from accounts import standing
from apikeys import admission
from apikeys.models import APIKey, Usage
from queries import recording
from queries.generating import bills
from queries.models import Query
from ragsite.lib import months, redis_client, tokens
from ragsite.lib.errors import Unavailable
from ragsite.lib.inference.vendor_tries import Try
from ragsite.lib.money import dollars
from tests import model_answers
from tests.makers import Party, make_key, with_key
from tests.model_server import Behaviour, ModelServer
from tests.outages import redis_refused, redis_waited_for
from tests.problems import problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kettle")]

QUESTION = "How long is the kettle's warranty?"


@pytest.fixture(autouse=True)
def redis_has_time() -> Iterator[None]:
    with redis_waited_for():
        yield


def ask(client: APIClient, **body: Any) -> Any:
    return client.post("/api/query", {"question": QUESTION, **body}, format="json")


def limit(party: Party, dollars: str) -> None:
    party.tenant.monthly_budget_usd = Decimal(dollars)
    party.tenant.save()
    standing._tell(party.tenant.pk)


def records() -> list[Usage]:
    client = recording.client()
    recording.prepare(client)
    while recording.drain(client, block_ms=None):
        pass
    client.close()
    return list(Usage.objects.across_tenants().order_by("id"))


def counter(party: Party) -> Decimal:
    found: Any = redis_client.client().get(f"spent:{party.tenant.pk}:{months.name(timezone.now())}")
    return dollars(int(found))


def is_settled(party: Party) -> bool:
    """The counter says what the records do, and nothing is held."""
    total = sum((row.cost_usd for row in records()), Decimal(0))
    return counter(party) == total and not redis_client.client().exists(f"held:{party.tenant.pk}")


@pytest.mark.parametrize("caller", ["client", "user_client"])
def test_a_spent_budget_refuses_what_asks_and_nothing_else(ours: Party, caller: str) -> None:
    client = getattr(ours, caller)
    assert ask(client).status_code == 200
    limit(ours, "0")
    for body in ({}, {"stream": True}, {"use_cache": False}):  # the first would come from the cache
        said = problem(ask(client, **body), 402, "budget_spent")
        assert said["detail"].startswith("The tenant's monthly budget is spent. It begins anew at ")
    assert [client.get(path).status_code for path in ("/api/history", "/api/query")] == [200, 405]
    assert client.post("/api/search", {"question": QUESTION}, format="json").status_code == 200
    rows = [row for row in records() if row.status == 402]
    assert [(row.success, row.from_cache, row.endpoint) for row in rows] == [(False, False, "/api/query")] * 3


def test_a_key_that_may_not_ask_hears_of_its_scope(ours: Party) -> None:
    _, raw = make_key(ours.tenant, scopes=["ingest"], monthly_budget_usd=Decimal(0))
    problem(ask(with_key(raw)), 403, "scope")
    _, raw = make_key(ours.tenant, networks=["10.0.0.0/8"], monthly_budget_usd=Decimal(0))
    problem(ask(with_key(raw)), 403, "network")


def test_a_key_sees_its_budget(ours: Party, model: ModelServer) -> None:
    key, raw = make_key(ours.tenant, monthly_budget_usd=Decimal("12.5"))
    cost = ask(with_key(raw)).json()["usage"]["cost_usd"]
    records()
    renews = months.begin(timezone.now(), ahead=1).strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = {
        "monthly_usd": 12.5,
        "spent_usd": cost,
        "remaining_usd": pytest.approx(12.5 - cost),
        "renews_at": renews,
    }
    assert with_key(raw).get("/api/keys/self").json()["budget"] == wanted
    assert ours.business_client.get(f"/api/keys/{key.pk}").json()["budget"] == wanted
    assert ours.business_client.get("/api/usage").json()["budget"] == {
        "monthly_usd": None, "spent_usd": cost, "remaining_usd": None, "renews_at": renews,
    }  # fmt: skip


def test_what_may_cost_more_than_is_left_is_not_asked_of_the_model(ours: Party, model: ModelServer) -> None:
    limit(ours, "1")
    response = ask(ours.client)
    assert (
        "left of the tenant's monthly budget does not cover"
        in problem(response, 402, "budget_spent")["detail"]
    )
    assert model.calls == 0
    row = Query.objects.for_tenant(ours.tenant).get()
    assert (row.status, row.error_code) == ("failed", "budget_spent")
    (used,) = records()
    assert (used.status, float(used.cost_usd)) == (402, 0)
    assert is_settled(ours)


def test_what_a_terminal_asks_is_recorded_with_its_cost(ours: Party, model: ModelServer) -> None:
    limit(ours, "100")
    call_command("ask", QUESTION, tenant="ours")
    (used,) = records()
    row = Query.objects.for_tenant(ours.tenant).get()
    assert (used.pk, used.endpoint, used.status) == (row.pk, "manage.py ask", 200)
    assert used.cost_usd == row.cost_usd > 0
    assert is_settled(ours)


def test_extractive_answers_reserve_nothing(ours: Party) -> None:
    limit(ours, "0.0001")
    assert ask(ours.client).status_code == 200
    assert is_settled(ours)


@pytest.mark.django_db(transaction=True)
def test_parallel_answers_stay_within_the_budget(ours: Party, model: ModelServer, settings: Settings) -> None:
    """Three fit at a time; eight ask at once, and again until none fits."""
    settings.ANSWER_MAX_TOKENS = 500
    model.reset(Behaviour(reply="word " * 500, delay=0.05))
    limit(ours, "8")

    def asked(number: int) -> int:
        try:
            return int(ask(ours.client, use_cache=False).status_code)
        finally:
            connection.close()

    statuses: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        while 200 in statuses[-8:] or not statuses:
            statuses += pool.map(asked, range(8))
    total = sum((row.cost_usd for row in records()), Decimal(0))
    assert set(statuses) == {200, 402}
    assert Decimal(5) < total <= Decimal(8)
    assert is_settled(ours)


@pytest.mark.parametrize(
    "fault", [Behaviour(status=500), Behaviour(status=400), Behaviour(status=429, retry_after="99")]
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_failed_call_gives_back_what_it_held(
    ours: Party, model: ModelServer, fault: Behaviour, *, streamed: bool
) -> None:
    limit(ours, "100")
    model.reset(fault)
    b"".join(ask(ours.client, stream=streamed))
    assert [(row.status >= 500, float(row.cost_usd)) for row in records()] == [(True, 0)]
    assert is_settled(ours)


def test_a_streamed_answer_settles_what_the_endpoint_reports(ours: Party, model: ModelServer) -> None:
    limit(ours, "100")
    b"".join(ask(ours.client, stream=True))
    (used,) = records()
    assert used.completion_tokens == 4
    assert used.cost_usd == dollars(used.prompt_tokens * 1000 + 4 * 2000)
    assert is_settled(ours)


@pytest.mark.django_db(transaction=True)  # leaving ends the request, and with it the connection
def test_who_leaves_a_stream_pays_what_was_reserved(ours: Party, model: ModelServer) -> None:
    limit(ours, "100")
    model.reset(Behaviour(reply="word " * 500, drip=0.001))
    response = ask(ours.client, stream=True)
    chunks = iter(cast("Iterable[bytes]", response.streaming_content))
    while not next(chunks).startswith(b"event: token"):
        pass
    response.close()
    (used,) = records()
    assert (used.status, used.completion_tokens) == (499, 0)
    assert used.cost_usd == bills.most(model.requests[0].body["messages"]) > 2
    assert is_settled(ours)


def test_an_endpoint_that_reports_no_tokens_costs_what_was_reserved(
    ours: Party, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(ours, "100")
    monkeypatch.setattr(model_answers, "usage", lambda *_: {})
    cost = ask(ours.client).json()["usage"]["cost_usd"]
    assert cost == float(bills.most(model.requests[0].body["messages"]))
    assert is_settled(ours)


def test_an_answer_that_is_lost_after_the_model_gave_it_has_its_cost(
    ours: Party, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise Unavailable("The disk is full.")

    limit(ours, "100")
    monkeypatch.setattr("queries.history.save", fails)
    problem(ask(ours.client), 503)
    (used,) = records()
    assert used.cost_usd > 0
    assert is_settled(ours)


def test_without_redis_budgets_hold_by_the_records(ours: Party, model: ModelServer) -> None:
    admission.buckets.forget()
    model.reset(Behaviour(reply="word " * 500))
    limit(ours, "5")
    with redis_refused():
        statuses = [ask(client).status_code for client in [ours.client, ours.user_client] * 3]
    assert (statuses[0], statuses[-1], set(statuses)) == (200, 402, {200, 402})
    assert sum(row.cost_usd for row in Usage.objects.for_tenant(ours.tenant)) <= 5


def test_the_admin_shows_what_is_spent(ours: Party, model: ModelServer, admin_client: Any) -> None:
    cost = ask(ours.client).json()["usage"]["cost_usd"]
    records()
    for path in (f"apikeys/apikey/{ours.key.pk}", f"accounts/tenant/{ours.tenant.pk}"):
        assert f"{cost:.6f} USD" in admin_client.get(f"/admin/{path}/change/").content.decode()


def test_a_budget_of_less_than_nothing_is_refused(ours: Party) -> None:
    body = {"name": "x", "monthly_budget_usd": -1}
    problem(ours.business_client.post("/api/keys", body, format="json"), 400, "invalid")
    with pytest.raises(Exception, match="greater than or equal to 0"):
        APIKey(name="x", monthly_budget_usd=-1).full_clean()


# Prices -------------------------------------------------------------------------------------------------------


def test_the_dearest_model_that_may_be_tried_decides_what_is_reserved(settings: Settings) -> None:
    settings.ANSWER_MODEL, settings.ANSWER_FALLBACK_MODELS = "cheap", ["dear-2026-01-01", "unlisted"]
    settings.ANSWER_MAX_TOKENS = 100
    settings.MODEL_PRICES = {"cheap": (1, 1), "dear": (2, 30), "never asked": (99, 99)}
    messages = [{"role": "user", "content": "é" * 10}]
    assert bills.most(messages) == dollars((20 + 2 * tokens.AROUND_MESSAGE) * 2 + 100 * 30)
    settings.MODEL_PRICES = {"never asked": (99, 99)}
    assert bills.most(messages) == 0


def test_a_name_that_is_not_listed_costs_what_was_asked_for_does(settings: Settings) -> None:
    """Where a deployment is asked for by a name of its own, the endpoint reports the model's."""
    settings.ANSWER_MODEL, settings.ANSWER_FALLBACK_MODELS = "ours", []
    settings.MODEL_PRICES = {"ours": (1, 2), "listed": (0, 0)}
    tries = [
        Try("ours", "ours", prompt_tokens=10, completion_tokens=100, answered_by=name)
        for name in ("gpt-x", "listed")
    ]
    costs = [bills.cost(tried, []).cost_usd for tried in tries]
    assert costs == [dollars(210), 0]
