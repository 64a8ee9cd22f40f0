"""The short way and the long way of a question give the same answer and leave the same records."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from django.conf import settings as site
from django.db import OperationalError
from django.test import Client
from pytest_django.fixtures import Settings

from apikeys import copies, keys
from apikeys.models import Usage
from apikeys.usage import STREAM
from documents.models import Document
from queries import recording
from queries.api import QueryView
from queries.middleware import MAX_BODY, PATH
from ragsite.lib import redis_client
from tests.makers import Party, make_key

pytestmark = pytest.mark.django_db

SHORT_WAY = "queries.middleware.CachedAnswers"
QUESTION = "How long is the kettle's warranty?"
PLAIN = json.dumps({"question": QUESTION})
ITS_OWN = {"id", "request_id", "response_time_ms", "timings_ms"}
KINDS = ("good", "unscoped", "elsewhere", "spent", "revoked")

BODIES: list[str | bytes] = [
    PLAIN, f"  {PLAIN}\n", PLAIN.replace("kettle", "KETTLE"), PLAIN.replace("How", "\\u0048ow"),
    json.dumps({"question": f"\t{QUESTION} "}), '{"question": "x", "question": ' + json.dumps(QUESTION) + "}",
    json.dumps({"question": QUESTION, "top_k": 2}), json.dumps({"question": QUESTION, "top_k": None}),
    json.dumps({"question": QUESTION, "top_k": True}), json.dumps({"question": QUESTION, "top_k": 2.0}),
    json.dumps({"question": QUESTION, "top_k": "2"}), json.dumps({"question": QUESTION, "top_k": 51}),
    json.dumps({"question": QUESTION, "metadata": None, "document_ids": None, "collection": None, "database": None}),
    json.dumps({"question": QUESTION, "metadata": {}}), json.dumps({"question": QUESTION, "document_ids": []}),
    json.dumps({"question": QUESTION, "document_ids": ["x"]}), json.dumps({"question": QUESTION, "collection": "default"}),
    json.dumps({"question": QUESTION, "collection": "nowhere"}), json.dumps({"question": QUESTION, "route": "database"}),
    json.dumps({"question": QUESTION, "route": "sideways"}), json.dumps({"question": QUESTION, "database": "sales"}),
    json.dumps({"question": QUESTION, "use_cache": False}), json.dumps({"question": QUESTION, "use_cache": 1}),
    json.dumps({"question": QUESTION, "stream": True}), json.dumps({"question": QUESTION, "unknown": 1}),
    json.dumps({"question": "Wie heißt der Köttel ☕ 😀?"}, ensure_ascii=False), json.dumps({"question": "\ud800"}),
    json.dumps({"question": "a\0"}), json.dumps({"question": " "}), json.dumps({"question": 5}), json.dumps({}),
    json.dumps({"question": "a" * 4_000}), json.dumps({"question": "a" * 4_001}), json.dumps({"question": "a" * MAX_BODY}),
    "", "{", "[]", "null", "\ufeff" + PLAIN, PLAIN.encode("utf-16"), b"\xff", '{"question": NaN}', "[" * 30_000,
]  # fmt: skip
HEADERS: list[Mapping[str, str]] = [
    {"accept": "application/json"}, {"accept": "application/json, text/plain, */*"}, {"accept": "text/event-stream"},
    {"accept": "text/html"}, {"accept": "application/xml"}, {"accept": ""}, {"accept": "application/json; indent=2"},
    {"origin": "https://elsewhere.example"}, {"origin": "https://allowed.example"}, {"cookie": "sessionid=x"},
    {"host": "evil.example"}, {"user-agent": "Mozilla"}, {"idempotency-key": "1"}, {"x-http-method-override": "GET"},
    {"x-forwarded-for": "192.0.2.9"}, {"x-forwarded-proto": "https"},
]  # fmt: skip
TYPES = ["application/json", "application/json; charset=utf-8", "application/json; charset=latin-1", "APPLICATION/JSON",
         "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]  # fmt: skip
METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
PATHS = [f"{PATH}/", f"{PATH}?format=json", "//api/query", "/api/search"]


@pytest.fixture
def ways(settings: Settings) -> tuple[Client, Client]:
    """The short and the long way; a client keeps the middleware of its first request."""
    settings.CORS_ALLOWED_ORIGINS = ["https://allowed.example"]
    short, long = Client(raise_request_exception=False), Client(raise_request_exception=False)
    short.get("/health")
    settings.MIDDLEWARE = [name for name in site.MIDDLEWARE if name != SHORT_WAY]
    long.get("/health")
    return short, long


@pytest.fixture
def raw_keys(ours: Party) -> dict[str, str]:
    """A raw key of every kind, by its kind."""
    made = {
        "good": {},
        "unscoped": {"scopes": ["ingest"]},
        "elsewhere": {"networks": ["192.0.2.0/24"]},
        "spent": {"burst": 1, "rate_limit": 1},
        "revoked": {},
    }
    found = {kind: make_key(ours.tenant, **settings) for kind, settings in made.items()}  # type: ignore[arg-type]
    keys.revoke(found["revoked"][0])
    return {kind: raw for kind, (_, raw) in found.items()} | {
        "unknown": keys.generate(),
        "shapeless": "rag_x",
    }


def send(client: Client, headers: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """All that a question leaves behind: what is answered, what is recorded, what is counted; Redis as it was else."""
    redis = redis_client.client()
    for pattern in ("bucket:*", "cache:*", STREAM):
        for name in redis.scan_iter(pattern):
            redis.delete(name)
    sent: dict[str, Any] = {
        "method": "POST",
        "path": PATH,
        "data": PLAIN,
        "content_type": "application/json",
    } | more
    response = client.generic(**sent, headers=dict(headers))
    kept: Any = redis.xrange(STREAM)
    records = [dict(fields) for _, fields in kept]
    for record in records:
        record.pop(b"id"), record.pop(b"ms")
    counts = {name: redis.hgetall(name) for name in redis.scan_iter("cache:*")}
    told = dict(response.items()) | {"X-Request-ID": ""}
    if "Content-Length" in told:
        assert sent["method"] == "HEAD" or told["Content-Length"] == str(len(response.getvalue()))
        told["Content-Length"] = ""
    return {
        "status": response.status_code,
        "headers": told,
        "body": _shared(response),
        "records": records,
        "counts": counts,
    }


def _shared(response: Any) -> Any:
    content = response.getvalue()
    try:
        body = json.loads(content)
    except ValueError:  # events and pages have ids and times all over
        return content[:20]
    if not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if name not in ITS_OWN}


def compare(ways: tuple[Client, Client], headers: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Both ways, each first once to have the answer cached and the headers learned."""
    short, long = ways
    send(long, headers, **more)
    send(short, headers, **more)
    taken = send(short, headers, **more)
    assert taken == send(long, headers, **more)
    return taken


def test_the_short_way_is_taken(
    ways: tuple[Client, Client], raw_keys: dict[str, str], kettle: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"x-api-key": raw_keys["good"]}
    expected = compare(ways, headers)
    monkeypatch.setattr(QueryView, "dispatch", None)
    assert send(ways[0], headers) == expected
    assert (expected["status"], expected["body"]["from_cache"]) == (200, True)
    assert len(expected["records"]) == 1
    assert list(expected["counts"].values()) == [{b"hits": b"1"}]


def test_every_body_is_answered_alike(
    ways: tuple[Client, Client], raw_keys: dict[str, str], kettle: Document
) -> None:
    for body in BODIES:
        compare(ways, {"x-api-key": raw_keys["good"]}, data=body)


def test_every_header_is_answered_alike(
    ways: tuple[Client, Client], raw_keys: dict[str, str], kettle: Document
) -> None:
    for more in HEADERS:
        compare(ways, {"x-api-key": raw_keys["good"], **more})
    for kind in TYPES:
        compare(ways, {"x-api-key": raw_keys["good"]}, content_type=kind)
    for method in METHODS:
        compare(ways, {"x-api-key": raw_keys["good"]}, method=method)
    for path in PATHS:
        compare(ways, {"x-api-key": raw_keys["good"]}, path=path)


def test_every_key_is_answered_alike(
    ways: tuple[Client, Client], raw_keys: dict[str, str], kettle: Document
) -> None:
    for raw in raw_keys.values():
        for headers in (
            {"x-api-key": raw},
            {"authorization": f"Bearer {raw}"},
            {"authorization": f"bearer {raw}"},
            {"authorization": f"Bearer  {raw} "},
            {"authorization": f"Basic {raw}"},
            {"x-api-key": raw, "authorization": f"Bearer {raw}"},
            {"x-api-key": raw, "authorization": f"Bearer {raw_keys['good']}"},
            {"x-api-key": f" {raw}"},
        ):
            compare(ways, headers)
    compare(ways, {})


def test_https_is_told_and_asked_for(
    ways: tuple[Client, Client], raw_keys: dict[str, str], kettle: Document, settings: Settings
) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 3600
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    long = Client()
    settings.MIDDLEWARE = [name for name in site.MIDDLEWARE if name != SHORT_WAY]
    long.get("/health")
    settings.MIDDLEWARE = [site.MIDDLEWARE[0], SHORT_WAY, *site.MIDDLEWARE[1:]]
    short = Client()
    short.get("/health")
    headers = {"x-api-key": raw_keys["good"]}
    redirected = compare((short, long), headers)
    assert (redirected["status"], redirected["records"]) == (301, [])
    over_https = compare((short, long), headers | {"x-forwarded-proto": "https"})
    assert over_https["headers"]["Strict-Transport-Security"] == "max-age=3600"


def test_a_limit_counts_both_ways_once(ways: tuple[Client, Client], ours: Party, kettle: Document) -> None:
    _, raw = make_key(ours.tenant, burst=4, rate_limit=1)
    short, long = ways
    got = [
        client.post(PATH, PLAIN, content_type="application/json", headers={"x-api-key": raw})
        for client in (long, short, short, long, short, long)
    ]
    assert [answer.status_code for answer in got] == [200, 200, 200, 200, 429, 429]
    assert [answer["X-RateLimit-Remaining"] for answer in got] == ["3", "2", "1", "0", "0", "0"]
    assert len({answer["X-Request-ID"] for answer in got}) == 6
    assert redis_client.client().xlen(STREAM) == 6


def test_a_forged_answer_is_a_miss(
    ways: tuple[Client, Client], raw_keys: dict[str, str], kettle: Document
) -> None:
    headers = {"x-api-key": raw_keys["good"]}
    compare(ways, headers)
    redis = redis_client.client()
    (name,) = redis.scan_iter("answer:*")
    stored: Any = redis.get(name)
    found = []
    for client in ways:
        redis.set(name, stored[:-3] + b'"!}')
        found.append(send(client, headers))
    assert found[0] == found[1]
    assert found[0]["body"]["from_cache"] is False
    # What admission took for a hit, and what the request says of itself; that is what is written.
    assert [b"from_cache" in record for record in found[0]["records"]] == [True, True]
    recording.prepare(redis)
    recording.drain(redis, block_ms=None)
    assert set(Usage.objects.across_tenants().values_list("status", "from_cache").order_by("-pk")[:2]) == {
        (200, False)
    }


@pytest.mark.parametrize("zeros", ["", "000000000"])
@pytest.mark.parametrize("more", [{}, {"origin": "https://elsewhere.example"}, {"idempotency-key": "1"}])
def test_a_body_that_is_too_large_is_its_senders(
    ways: tuple[Client, Client], raw_keys: dict[str, str], more: Mapping[str, str], zeros: str
) -> None:
    body = json.dumps({"question": "a" * site.DATA_UPLOAD_MAX_MEMORY_SIZE})
    sent = {"data": body, "CONTENT_LENGTH": f"{zeros}{len(body)}"}
    refused = compare(ways, {"x-api-key": raw_keys["good"], **more}, **sent)
    assert (refused["status"], len(refused["records"])) == (413, 1)
    assert compare(ways, {"x-api-key": raw_keys["unknown"], **more}, **sent)["status"] == 401


def test_a_body_that_is_no_json_is_malformed(
    ways: tuple[Client, Client], raw_keys: dict[str, str], ours: Party
) -> None:
    refused = compare(ways, {"x-api-key": raw_keys["good"]}, data="{")
    assert (refused["status"], refused["body"]["code"]) == (400, "malformed")
    of_a_person = ours.user_client.post(PATH, "{", content_type="application/json")
    assert of_a_person.json()["code"] == "malformed"


def test_a_key_that_nobody_can_look_up_is_a_503(
    ways: tuple[Client, Client], raw_keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def gone(key_hash: str) -> None:
        asked.append(key_hash)
        raise OperationalError("couldn't get a connection after 5.00 sec")

    monkeypatch.setattr(copies, "of", gone)
    answers = [send(client, {"x-api-key": raw_keys["good"]}) for client in ways]
    assert answers[0] == answers[1]
    assert (answers[0]["status"], answers[0]["body"]["code"]) == (503, "database")
    assert len(asked) == 2  # once a request: each look-up may wait for seconds
