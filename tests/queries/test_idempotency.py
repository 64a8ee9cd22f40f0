"""Idempotency-Key on questions: one run and one answer for what a client sends more than once."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIClient

from apikeys import copies, idempotency, keys
from documents.models import Document
from queries import retention
from tests.makers import Party, make_key, make_user, signed_in, with_key
from tests.model_server import Behaviour, ModelServer
from tests.outages import redis_refused
from tests.repeating import ask, content, is_replay, kept, queries, records, upload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kettle")]


def test_a_retry_gets_the_same_answer_and_nothing_runs_again(ours: Party, model: ModelServer) -> None:
    first, again = ask(ours.client), ask(ours.client)
    assert (first.status_code, is_replay(first)) == (200, False)
    assert (again.status_code, is_replay(again)) == (200, True)
    assert again.content == first.content
    assert again["Content-Type"] == first["Content-Type"] == "application/json"
    assert again["X-Request-ID"] != first["X-Request-ID"] == again.json()["id"]
    assert (model.calls, queries()) == (1, 1)
    used, free = records()
    assert str(free.pk) == again["X-Request-ID"]
    assert (free.status, free.prompt_tokens, float(free.cost_usd)) == (200, 0, 0.0)
    assert used.prompt_tokens > 0


def test_the_order_of_fields_makes_no_other_body(ours: Party) -> None:
    bodies = ['{"question": "Tea?", "top_k": 1}', '{ "top_k": 1, "question": "Tea?"}']
    client = Client(HTTP_X_API_KEY=ours.raw, HTTP_IDEMPOTENCY_KEY="first")
    first, again = (client.post("/api/query", body, content_type="application/json") for body in bodies)
    assert again.content == first.content


def test_another_body_is_a_conflict_and_the_first_answer_stays(ours: Party) -> None:
    first = ask(ours.client)
    other = ask(ours.client, top_k=1)
    assert (other.status_code, other["Content-Type"]) == (409, "application/problem+json")
    assert other.json()["code"] == "idempotency_mismatch"
    assert ask(ours.client).content == first.content
    assert queries() == 1
    assert [used.status for used in records()] == [200, 409, 200]


@pytest.mark.parametrize("key", ["", "   ", "k" * 256, "schlüssel", "a\tb", "a\x7f", "\u00a0"])
def test_a_malformed_key_is_refused(ours: Party, key: str) -> None:
    refused = ask(ours.client, key)
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key")
    assert not kept().exists()


@pytest.mark.parametrize(
    "key", ["k" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "a b, c", "'; DROP TABLE x"]
)
def test_every_printable_key_is_taken(ours: Party, key: str) -> None:
    ask(ours.client, key)
    assert is_replay(ask(ours.client, key))
    assert key not in str(kept().values())  # of a key only its digest is kept


def test_who_may_not_call_learns_nothing_of_keys(ours: Party, anonymous: APIClient) -> None:
    reader = with_key(make_key(ours.tenant, scopes=["query"])[1])
    assert ask(anonymous, "").status_code == 401
    assert upload(reader, "").status_code == 403
    assert not kept().exists()


def test_nobody_meets_anothers_key(ours: Party, theirs: Party) -> None:
    colleague = make_user("colleague", tenant=ours.tenant, role="user")
    callers = [
        ours.client,
        with_key(make_key(ours.tenant, owner=ours.business)[1]),
        ours.user_client,
        ours.business_client,
        signed_in(colleague),
        theirs.client,
        theirs.user_client,
    ]
    answers = [ask(caller) for caller in callers]
    assert [(answer.status_code, is_replay(answer)) for answer in answers] == [(200, False)] * len(callers)
    assert len({answer.json()["id"] for answer in answers}) == len(callers)
    assert [ask(caller).content for caller in callers] == [answer.content for answer in answers]


def test_a_key_holds_for_one_address(ours: Party) -> None:
    ask(ours.client)
    uploaded = upload(ours.client)
    assert (uploaded.status_code, is_replay(uploaded)) == (202, False)


def test_a_line_of_rotated_keys_is_one_client(ours: Party) -> None:
    first = ask(ours.client)
    second, _ = keys.rotate(ours.key, overlap=timedelta(hours=1))
    _, third = keys.rotate(second, overlap=timedelta(hours=1))
    assert ask(with_key(third)).content == ask(ours.client).content == first.content
    assert ask(with_key(third), top_k=1).json()["code"] == "idempotency_mismatch"
    assert queries() == 1


def test_what_a_key_may_read_no_more_is_not_replayed(ours: Party, kettle: Document) -> None:
    key, raw = make_key(ours.tenant, collection_ids=[kettle.collection_id])
    assert ask(with_key(raw)).json()["sources"]
    key.keycollection_set.all().delete()
    copies.forget(key.key_hash)
    narrowed = ask(with_key(raw))
    assert (is_replay(narrowed), narrowed.json()["sources"]) == (False, [])


@pytest.mark.parametrize(
    ("wrong", "status"),
    [({"question": ""}, 400), ({"collection": "nope"}, 404), ({"route": "database"}, 400)],
)
def test_a_refused_request_leaves_its_key_to_the_corrected_one(
    ours: Party, wrong: dict[str, str], status: int
) -> None:
    assert [ask(ours.client, **wrong).status_code for _ in range(2)] == [status] * 2
    corrected = ask(ours.client)
    assert (corrected.status_code, is_replay(corrected)) == (200, False)


def test_a_failure_is_really_tried_again(ours: Party, model: ModelServer) -> None:
    model.script(Behaviour(status=400))
    assert ask(ours.client).status_code == 502
    assert not kept().exists()
    again = ask(ours.client)
    assert (again.status_code, is_replay(again), model.calls) == (200, False, 2)


def test_an_error_that_a_view_returns_is_not_kept(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "queries.replies.QueryFace.whole", lambda *_: Response({"code": "unavailable"}, status=503)
    )
    assert ask(ours.client).status_code == 503
    assert not kept().exists()


def test_a_bug_frees_the_key(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError

    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_X_API_KEY=ours.raw)
    with monkeypatch.context() as patch:
        patch.setattr("queries.generating.generation._extract", fails)
        assert ask(client).status_code == 500
    assert not kept().exists()
    assert ask(client).status_code == 200


def test_a_limited_request_is_no_answer_to_keep(ours: Party) -> None:
    client = with_key(make_key(ours.tenant, burst=1, rate_limit=1)[1])
    first = ask(client)
    assert ask(client).status_code == 429
    assert kept().get().status == first.status_code == 200


def test_an_answer_from_the_cache_is_kept_and_counted_once(ours: Party) -> None:
    ask(ours.client, None, use_cache=True)
    first = ask(ours.client, use_cache=True)
    assert first.json()["from_cache"] is True
    again = ask(ours.client, use_cache=True)
    assert (again.content, is_replay(again)) == (first.content, True)
    assert [used.from_cache for used in records()] == [False, True, False]
    assert queries() == 2


def test_no_answer_from_the_cache_stands_for_a_kept_one(ours: Party) -> None:
    """Admission would look there first, and record what it finds as a new answer."""
    first = ask(ours.client, use_cache=True)
    again = ask(ours.client, use_cache=True)
    assert again.content == first.content
    assert [used.from_cache for used in records()] == [False, False]
    assert queries() == 1


def test_after_a_day_it_runs_anew_even_with_another_body(ours: Party) -> None:
    first = ask(ours.client)
    kept().update(expires_at=timezone.now())
    anew = ask(ours.client, top_k=1)
    assert (anew.status_code, is_replay(anew)) == (200, False)
    assert anew.json()["id"] != first.json()["id"]
    assert ask(ours.client, top_k=1).content == anew.content
    day = kept().annotate(kept_for=F("expires_at") - F("created_at")).get().kept_for
    assert day == timedelta(days=1)


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_old_ones_are_forgotten(ours: Party, theirs: Party) -> None:
    for party, key in [(ours, "a"), (ours, "b"), (theirs, "c")]:
        ask(party.client, key)
    kept().filter(tenant=theirs.tenant).update(expires_at=timezone.now())
    retention.prune()
    assert {row.tenant_id for row in kept()} == {ours.tenant.pk}


def test_redis_is_not_needed(ours: Party) -> None:
    first = ask(ours.client)
    with redis_refused():
        assert ask(ours.client).content == first.content
        ask(ours.client, "second")
    assert is_replay(ask(ours.client, "second"))


def test_what_is_too_large_is_not_kept(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_BODY_BYTES", 100)
    for stream in (False, True):
        answers = [content(ask(ours.client, f"large {stream}", stream=stream)) for _ in range(2)]
        assert answers[0] != answers[1]
    assert not kept().exists()


def test_a_page_for_people_is_not_kept(ours: Party) -> None:
    headers = {"Idempotency-Key": "first", "Accept": "text/html"}
    page = ours.client.post("/api/query", {"question": "How long?"}, format="json", headers=headers)
    assert page["Content-Type"].startswith("text/html")
    assert not kept().exists()
