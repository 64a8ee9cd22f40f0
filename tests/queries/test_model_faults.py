"""Every way in which a model fails, whole and streamed: its documented answer, its record, and what may stand in."""

import json
import time
from collections.abc import Iterable
from typing import Any, cast

import pytest
from django.test.client import Client
from pytest_django.fixtures import Settings

from apikeys.models import Usage
from queries import bills, flight, recording
from queries.models import Query
from ragsite.lib import redis_client
from tests.makers import Party, make_user
from tests.model_server import Behaviour, ModelServer
from tests.outages import redis_refused
from tests.site import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kettle")]

QUESTION = "How long is the kettle's warranty?"
WORDS = "word " * 40
FAULTS = {
    "hung": (Behaviour(fault="hang"), 504, "model_timeout"),
    "a byte at a time": (Behaviour(reply=WORDS, drip=0.05), 504, "model_timeout"),
    "a byte at a time, from the first header": (
        Behaviour(drip=0.05, drip_headers=True),
        504,
        "model_timeout",
    ),
    "limited": (Behaviour(status=429), 503, "unavailable"),
    "limited for a minute": (Behaviour(status=429, retry_after="60"), 503, "unavailable"),
    "limited for a word": (Behaviour(status=429, retry_after="a while"), 503, "unavailable"),
    "broken": (Behaviour(status=500), 502, "model_failed"),
    "refused": (Behaviour(status=401), 502, "model_refused"),
    "invalid JSON": (Behaviour(fault="invalid_json"), 502, "model_failed"),
    "other JSON": (Behaviour(fault="not_a_completion"), 502, "model_failed"),
    "empty": (Behaviour(fault="empty"), 502, "model_failed"),
    "10 MB": (Behaviour(fault="huge"), 502, "model_failed"),
}
# What only an answer that is not streamed can be: a stream is read event by event.
WHOLE_ALONE = {"invalid JSON", "other JSON"}


@pytest.fixture(autouse=True)
def quick(settings: Settings) -> None:
    settings.ANSWER_TIMEOUT_SECONDS = 1


def ask(party: Party, **body: Any) -> Any:
    return party.client.post("/api/query", {"question": QUESTION, **body}, format="json")


def told(response: Any) -> Any:
    """The problem of an answer, or of the last event of a stream."""
    if not response.streaming:
        return response.json()
    *_, last = b"".join(cast("Iterable[bytes]", response.streaming_content)).strip().split(b"\n\n")
    name, data = last.split(b"\n")
    assert name == b"event: error", last
    return json.loads(data.removeprefix(b"data: "))


def row(party: Party) -> Query:
    return Query.objects.for_tenant(party.tenant).latest("id")


def usage_rows() -> list[Usage]:
    client = recording.client()
    recording.prepare(client)
    while recording.drain(client, block_ms=None):
        pass
    client.close()
    return list(Usage.objects.across_tenants().order_by("id"))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_its_documented_answer(
    ours: Party, model: ModelServer, settings: Settings, name: str, *, streamed: bool
) -> None:
    fault, status, code = FAULTS[name]
    if streamed and name in WHOLE_ALONE:
        pytest.skip("a stream is read event by event")
    if name == "10 MB":
        settings.ANSWER_TIMEOUT_SECONDS = 20  # it is cut off for its length, on a busy machine too
    model.reset(fault)
    began = time.monotonic()
    problem = told(ask(ours, stream=streamed))
    assert (problem["status"], problem["code"]) == (status, code)
    assert "scripted failure" not in json.dumps(problem)
    assert time.monotonic() - began < 20  # the limit is 1 s; the rest is for a busy machine
    failed = row(ours)
    assert (failed.status, failed.error_code) == ("failed", code)
    assert failed.attempts
    assert {attempt["outcome"] for attempt in failed.attempts} <= {code, "rate_limited"}
    assert [used.status for used in usage_rows()] == [status]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_nothing_listening_is_unavailable(
    ours: Party, model: ModelServer, settings: Settings, *, streamed: bool
) -> None:
    settings.ANSWER_BASE_URL = f"http://127.0.0.1:{free_port()}/v1"
    problem = told(ask(ours, stream=streamed))
    assert (problem["status"], problem["code"]) == (503, "unavailable")
    failed = row(ours)
    assert [attempt["outcome"] for attempt in failed.attempts] == ["unavailable"] * 3
    assert failed.cost_usd == 0


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_reset_is_a_failure_at_any_moment(ours: Party, model: ModelServer, *, streamed: bool) -> None:
    model.reset(Behaviour(reply=WORDS, fault="reset", drip=0.00001))
    problem = told(ask(ours, stream=streamed))
    assert (problem["status"], problem["code"]) in {(503, "unavailable"), (502, "model_failed")}
    assert row(ours).error_code == problem["code"]


def test_a_streams_first_token_has_a_limit_of_its_own(
    ours: Party, model: ModelServer, settings: Settings
) -> None:
    settings.ANSWER_TIMEOUT_SECONDS, settings.ANSWER_FIRST_TOKEN_SECONDS = 60, 1
    settings.ANSWER_FALLBACK_MODELS = ["second"]
    model.script(Behaviour(fault="hang"), Behaviour(reply="Three years [1]."))
    began = time.monotonic()
    assert b"Three years" in b"".join(ask(ours, stream=True))
    assert time.monotonic() - began < 20  # and not half of 60
    assert [attempt["outcome"] for attempt in row(ours).attempts] == ["model_timeout", "answered"]


def test_who_is_limited_for_long_leaves_the_endpoint_alone(ours: Party, model: ModelServer) -> None:
    model.reset(Behaviour(status=429, retry_after="60"))
    first, again = ask(ours), ask(ours)
    assert model.calls == 1
    assert (first["Retry-After"], 58 <= int(again["Retry-After"]) <= 60) == ("60", True)
    assert [attempt["outcome"] for attempt in row(ours).attempts] == ["held"]


def test_as_many_calls_as_may_be_are_under_way(ours: Party, model: ModelServer, settings: Settings) -> None:
    settings.ANSWER_CALLS_IN_FLIGHT, settings.ANSWER_QUEUE_SECONDS = 1, 0
    model.reset(Behaviour(reply="word " * 500, drip=0.001))
    stream = iter(cast("Iterable[bytes]", ask(ours, stream=True).streaming_content))
    while not next(stream).startswith(b"event: token"):
        pass
    refused = ask(ours, use_cache=False)
    assert (refused.status_code, refused.json()["code"]) == (503, "model_busy")
    assert int(refused["Retry-After"]) >= 1
    list(stream)


# Fallbacks ----------------------------------------------------------------------------------------------------


def test_a_fallback_may_stand_elsewhere_with_a_key_of_its_own(
    ours: Party, model: ModelServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with ModelServer(default=Behaviour(reply="Three years [1].")) as other:
        settings.ANSWER_FALLBACK_MODELS = [f"llama at {other.url}"]
        settings.ANSWER_API_KEYS = {other.url.split("/")[2]: "sk-other"}
        model.reset(Behaviour(status=500))
        answer = ask(ours).json()
        assert (answer["answer"], answer["model"]) == ("Three years [1].", "llama")
        assert other.requests[0].headers["authorization"] == "Bearer sk-other"
        assert {request.headers["authorization"] for request in model.requests} == {"Bearer sk-test"}
        made = row(ours).attempts
        assert [(attempt["model"], attempt["outcome"]) for attempt in made] == [
            *[("scripted-1", "model_failed")] * 3,
            ("llama", "answered"),
        ]
        assert made[-1]["endpoint"] == other.url.split("/")[2]
        model.reset(Behaviour(fault="hang"))
        for _ in range(4):  # the breaker of one endpoint says nothing of the other
            assert ask(ours, use_cache=False).status_code == 200
        assert ask(ours, use_cache=False).status_code == 200
        assert row(ours).attempts[0]["outcome"] == "circuit_open"
    assert "sk-" not in caplog.text


def test_no_endpoint_gets_the_key_of_another(ours: Party, model: ModelServer, settings: Settings) -> None:
    with ModelServer() as other:
        settings.ANSWER_FALLBACK_MODELS = [f"llama at {other.url}"]
        model.reset(Behaviour(status=500))
        assert ask(ours).status_code == 200
        assert other.requests[0].headers["authorization"] == "Bearer none"


def test_without_redis_models_answer_and_breakers_open(ours: Party, model: ModelServer) -> None:
    with redis_refused():
        assert ask(ours).status_code == 200
        model.reset(Behaviour(status=500))
        statuses = [ask(ours).status_code for _ in range(7)]
    assert statuses == [502] * 5 + [503] * 2


# What attempts cost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "is_billed"),
    [
        (Behaviour(status=500), False),
        (Behaviour(status=401), False),
        (Behaviour(fault="hang"), True),
        (Behaviour(fault="invalid_json"), True),
    ],
    ids=str,
)
def test_a_failed_attempt_costs_what_it_may(
    ours: Party, model: ModelServer, fault: Behaviour, *, is_billed: bool
) -> None:
    """What was refused is on nobody's bill; what was sent and not refused may be."""
    model.reset(fault)
    ask(ours)
    most = bills.most(model.requests[0].body["messages"])
    cost = most if is_billed else 0
    (used,) = usage_rows()
    assert (used.cost_usd, row(ours).cost_usd) == (cost, cost)


def test_an_empty_answer_costs_the_tokens_it_reports(ours: Party, model: ModelServer) -> None:
    model.reset(Behaviour(fault="empty"))
    ask(ours)
    (attempt,) = row(ours).attempts
    assert attempt["prompt_tokens"] > 0
    assert attempt["cost_usd"] == float(row(ours).cost_usd) == attempt["prompt_tokens"] / 1000


def test_attempts_before_the_answer_are_paid_too(ours: Party, model: ModelServer, settings: Settings) -> None:
    settings.ANSWER_FALLBACK_MODELS = ["scripted-2"]
    model.script(Behaviour(fault="invalid_json"), Behaviour(reply="Three years [1]."))
    answer = ask(ours).json()
    failed, answered = row(ours).attempts
    assert failed["cost_usd"] == float(bills.most(model.requests[0].body["messages"]))
    assert answered["completion_tokens"] == 3
    assert answer["usage"]["cost_usd"] == pytest.approx(failed["cost_usd"] + answered["cost_usd"])
    (used,) = usage_rows()
    assert float(used.cost_usd) == answer["usage"]["cost_usd"] == float(row(ours).cost_usd)


@pytest.mark.django_db(transaction=True)
def test_an_attempt_whose_client_left_says_so(ours: Party, model: ModelServer, settings: Settings) -> None:
    settings.ANSWER_TIMEOUT_SECONDS = 30
    model.reset(Behaviour(reply="word " * 500, drip=0.001))
    response = ask(ours, stream=True)
    chunks = iter(cast("Iterable[bytes]", response.streaming_content))
    while not next(chunks).startswith(b"event: token"):
        pass
    response.close()
    left = row(ours)
    assert (left.error_code, [attempt["outcome"] for attempt in left.attempts]) == (
        "client_left",
        ["client_left"],
    )
    assert left.cost_usd == bills.most(model.requests[0].body["messages"])


def test_attempts_are_shown_to_business_users_alone(ours: Party, model: ModelServer) -> None:
    path = f"/api/history/{ask(ours).json()['id']}"
    (attempt,) = ours.business_client.get(path).json()["attempts"]
    assert (attempt["model"], attempt["outcome"], attempt["completion_tokens"]) == (
        "scripted-1",
        "answered",
        4,
    )
    assert set(attempt) == {"model", "endpoint", "started_at", "milliseconds", "outcome", "prompt_tokens",
                            "completion_tokens", "cost_usd"}  # fmt: skip
    assert ours.client.get(path).json()["attempts"] is None
    assert ours.business_client.get("/api/history").json()["results"][0]["attempts"] == [attempt]


# What may stand in --------------------------------------------------------------------------------------------


@pytest.fixture
def quoting(ours: Party) -> None:
    ours.tenant.quotes_without_model = True
    ours.tenant.save()


@pytest.mark.parametrize("name", ["hung", "limited", "broken", "refused", "empty"])
def test_a_quotation_stands_in_where_the_tenant_allows_it(
    ours: Party, quoting: None, model: ModelServer, name: str
) -> None:
    model.reset(FAULTS[name][0])
    answer = ask(ours).json()
    assert (answer["fallback"], answer["generator"]) == (True, "extractive")
    assert "three years" in answer["answer"]
    assert row(ours).attempts
    model.reset(Behaviour(reply="It lasts three years [1]."))
    redis_client.client().flushdb()  # and with it what holds or breaker have
    again = ask(ours).json()
    assert (again["fallback"], again["generator"], again["from_cache"]) == (False, "openai", False)


def test_what_stood_in_is_kept_for_those_who_ask_meanwhile_alone(
    ours: Party, quoting: None, model: ModelServer
) -> None:
    model.script(*[Behaviour(status=500)] * 3)
    assert ask(ours).json()["fallback"] is True
    client = redis_client.client()
    (kept,) = [key for key in client.scan_iter("answer:*") if client.type(key) == b"string"]
    assert 0 < client.pttl(kept) <= flight.FALLBACK_SECONDS * 1000
    client.delete(kept)  # as it is soon
    again = ask(ours).json()
    assert (again["fallback"], again["from_cache"]) == (False, False)


def test_a_quotation_stands_in_for_a_stream_that_has_not_begun(
    ours: Party, quoting: None, model: ModelServer
) -> None:
    model.reset(Behaviour(status=500))
    *_, done = b"".join(ask(ours, stream=True)).strip().split(b"\n\n")
    assert done.startswith(b"event: done")
    assert b'"fallback":true' in done
    redis_client.client().flushdb()
    model.reset(Behaviour(reply=WORDS, fault="reset", drip=0.00001))
    assert told(ask(ours, stream=True, use_cache=False))["status"] in {502, 503}  # some of it was shown


def test_a_spent_budget_is_not_made_good_by_a_quotation(
    ours: Party, quoting: None, model: ModelServer, settings: Settings
) -> None:
    settings.MODEL_PRICES = {"scripted-1": (1e9, 1e9)}
    ours.tenant.monthly_budget_usd = 1
    ours.tenant.save()
    assert ask(ours).status_code == 402


# The test of the models ---------------------------------------------------------------------------------------


def test_the_admin_tests_the_models(model: ModelServer, settings: Settings) -> None:
    operator = Client()
    operator.force_login(make_user("operator", is_staff=True, is_superuser=True))
    path = "/admin/queries/query/models/"
    shown = operator.get(path).content.decode()
    assert "scripted-1" in shown
    assert 'name="csrfmiddlewaretoken"' in shown
    assert model.calls == 0
    model.reset(Behaviour(status=401, error="<script>alert(1)</script> sk-test"))
    found = operator.post(path).content.decode()
    assert model.calls == 1
    assert "&lt;script&gt;" in found
    assert "<script>alert" not in found
    assert "sk-test" not in found
    assert "models/" in operator.get("/admin/queries/query/").content.decode()
    settings.ANSWER_PROVIDER = "extractive"
    assert "quoted from the documents, no model" in operator.get(path).content.decode()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make_user("other", is_staff=True, is_superuser=True))
    assert strict.post(path).status_code == 403
