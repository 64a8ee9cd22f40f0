"""A secret is told once, to whom it is made for, and stands nowhere else afterwards."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import User
from apikeys.models import APIKey
from documents import tasks as document_tasks
from queries import recording
from queries import tasks as query_tasks
from tests import secret_places
from tests.makers import PASSWORD, Party, ingest, make_user
from tests.secret_places import Heard, everything_heard
from tests.strangers import bearer, session, with_header
from tests.test_permissions import MATRIX
from tests.webhooks.receiver import receiving
from webhooks import tasks as webhook_tasks

HOW_MANY = 200
ERRORS_A_KEY = 4  # of the list of all errors, in turn: each of the list is met by many keys
ANSWER_KEY = "sk-answer-0123456789abcdef"
# What would prove nothing if it were empty; tables by their names.
LOOKED_AT = ("answers", "log", "redis", "files", "sessions", "apikeys_apikey", "apikeys_usage", "apikeys_tally",
             "apikeys_idempotentrequest", "auditlog_logentry", "queries_query", "webhooks_endpoint", "webhooks_delivery")  # fmt: skip
MALFORMED = (b'{"question": ', b"[]", b'{"question": 7, "top_k": "x", "no_such": 1}')
NOWHERE = "33759125-b8f3-4040-8175-7dff5bc02b4a"


@dataclass
class Told:
    """What the site has said, besides the answers that make a secret."""

    answers: list[str] = field(default_factory=list)

    def hear(self, answer: Any) -> Any:
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        self.answers.append(
            f"{answer.status_code} {answer.headers} {answer.cookies} {body.decode(errors='replace')}"
        )
        return answer


@pytest.fixture
def boss(ours: Party) -> Client:
    return session(ours.business)


def made_by_api(boss: Client, number: int) -> tuple[str, str]:
    """A key as a business user makes it: its id, and the key."""
    wanted: dict[str, Any] = {
        "name": f"client {number}",
        "scopes": ["query", "ingest"],
        "burst": 1 if number % 8 == 1 else 60,
    }
    if number % 8 == 2:
        wanted["networks"] = ["192.0.2.0/24"]
    if number % 8 == 3:
        wanted["scopes"] = ["ingest"]
    if number % 8 == 4:
        wanted["collections"] = []
    made = boss.post("/api/keys", wanted, content_type="application/json")
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    return made.json()["id"], made.json()["key"]


def end(boss: Client, told: Told, *, number: int, pk: str) -> str:
    """Ends some of the keys, each in its way; returns a key that came out of it."""
    if number % 8 == 5:
        told.hear(boss.post(f"/api/keys/{pk}/revoke"))
    if number % 8 == 6:
        APIKey.objects.across_tenants().filter(pk=pk).update(expires_at=timezone.now() - timedelta(days=1))
    if number % 8 == 7:
        body = {"overlap_seconds": 60 if number % 16 == 7 else 0}
        rotated = boss.post(f"/api/keys/{pk}/rotate", body, content_type="application/json")
        assert rotated["Cache-Control"] == "no-store"
        told.hear(boss.post(f"/api/keys/{pk}/rotate", body, content_type="application/json"))
        return str(rotated.json()["key"])
    return ""


def in_its_place(raw: str) -> Iterator[Any]:
    """Every route with the key where keys belong, and something else amiss."""
    header, in_bearer = with_header(raw), bearer(raw)
    for row in MATRIX:
        method, route = row.split()
        path = route.replace("<uuid:pk>", NOWHERE)
        for client, body in zip((header, in_bearer, header), MALFORMED, strict=True):
            yield client, method, path, body, {}


def out_of_place(raw: str) -> Iterator[Any]:
    """The key where none belongs, sent with itself as the credential."""
    client = with_header(raw)
    for path in (
        f"/{raw}",
        f"/api/{raw}",
        f"/api/documents/{raw}",
        f"/api/keys/{raw}/usage",
        f"/admin/{raw}/",
        f"/static/{raw}",
    ):
        yield client, "GET", path, b"", {}
    for query in (
        f"key={raw}",
        f"cursor={raw}",
        f"limit={raw}",
        f"{raw}=1",
        f"status={raw}",
        f"days={raw}",
        f"format={raw}",
    ):
        for path in ("/api/history", "/api/documents", "/api/keys/self"):
            yield client, "GET", f"{path}?{query}", b"", {}
    for body in ({raw: 1}, {"question": [raw]}, {"question": "x", "document_ids": [raw]}, {"question": "x", "route": raw},
                 {"question": "x", "top_k": raw}, {"question": "x", "collection": raw}, {"question": "x", "database": raw},
                 {"question": "x", "stream": raw}, raw):  # fmt: skip
        for path in ("/api/query", "/api/search", "/api/token", "/api/token/refresh", "/api/keys"):
            yield client, "POST", path, json.dumps(body).encode(), {}
    for body in (
        {"username": raw, "password": "x"},
        {"username": "ours-business", "password": raw},
        {"refresh": raw},
    ):
        yield Client(), "POST", "/api/token", json.dumps(body).encode(), {}
        yield Client(), "POST", "/api/token/refresh", json.dumps(body).encode(), {}
    for name in ("HTTP_IDEMPOTENCY_KEY", "HTTP_X_REQUEST_ID", "HTTP_COOKIE", "HTTP_REFERER", "HTTP_USER_AGENT", "HTTP_ACCEPT",
                 "HTTP_ORIGIN", "HTTP_HOST", "HTTP_X_FORWARDED_FOR"):  # fmt: skip
        value = f"sessionid={raw}; csrftoken={raw}" if name == "HTTP_COOKIE" else raw
        yield client, "POST", "/api/query", b'{"question": "Why?"}', {name: value}
        yield Client(), "GET", "/admin/", b"", {name: value}
    yield client, raw, "/api/history", b"", {}


def admin_pages(operator: Client, told: Told, *, pk: str, raw: str) -> None:
    start = "/admin/apikeys/apikey/"
    for path in (start, f"{start}{pk}/change/", f"{start}{pk}/history/", f"{start}{pk}/delete/", f"{start}?o=1",
                 "/admin/", "/admin/auditlog/logentry/", "/admin/apikeys/usage/", "/admin/accounts/user/", "/admin/queries/query/"):  # fmt: skip
        told.hear(operator.get(path))
    for data in (
        {"name": "", "rate_limit": "x"},
        {"name": "n", "rate_limit": 1, "burst": 1, "networks": raw},
    ):
        operator.post(f"{start}{pk}/change/", data)
    told.hear(operator.post(start, {"action": "revoke", "_selected_action": pk}, follow=True))
    # What was typed stands in the page's own field again. It finds nothing: no column holds it.
    assert pk not in operator.get(start, {"q": raw}).content.decode()


def webhooks(boss: Client, told: Told, ours: Party) -> list[str]:
    """Made, rotated, tested and called: their secrets. The operator's page of one is among what is told."""
    secrets = []
    with receiving() as receiver:
        body = {"url": receiver.url}
        made = boss.post("/api/webhooks", body, content_type="application/json")
        path = f"/api/webhooks/{made.json()['id']}"
        rotated = boss.post(f"{path}/rotate", {}, content_type="application/json")
        for answer in (made, rotated):
            assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
            secrets.append(str(answer.json()["secret"]).removeprefix("whsec_"))
        told.hear(boss.post(f"{path}/test"))
        ingest(ours.tenant, "A text to be told of.")
        webhook_tasks.deliver()
        assert len(receiver.received) == 2
    for shown in (path, f"{path}/deliveries", "/api/webhooks"):
        told.hear(boss.get(shown))
    operator = session(make_user("webmaster", is_staff=True, is_superuser=True))
    for model in ("endpoint", "delivery"):
        told.hear(operator.get(f"/admin/webhooks/{model}/"))
    told.hear(
        operator.get(f"/admin{path.removeprefix('/api').replace('webhooks/', 'webhooks/endpoint/')}/change/")
    )
    return secrets


def commands(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    query_tasks.make_partitions()
    document_tasks.sweep()
    document_tasks.tend_corpora()
    call_command("ask", "Why?", tenant="ours")
    call_command("check")
    told.answers.append("".join(capsys.readouterr()))


def written() -> Mapping[str, str]:
    """What the site keeps, once all records of use are in Postgres."""
    client = recording.client()
    recording.prepare(client)
    redis = secret_places.redis()
    while recording.drain(client, block_ms=None):
        pass
    return {
        "redis": redis + secret_places.redis(),
        **secret_places.database(),
        "files": secret_places.files(),
    }


@pytest.fixture
def heard() -> Iterator[Heard]:
    with everything_heard() as heard:
        yield heard


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_no_secret_is_left_behind(
    boss: Client, ours: Party, heard: Heard, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.TOKEN_RATE, settings.ANSWER_API_KEY = "100000/m", ANSWER_KEY
    told, secrets = Told(), [PASSWORD, ANSWER_KEY, django_settings.SECRET_KEY, django_settings.ENCRYPTION_KEY]
    ingest(ours.tenant, "A plain text.")
    operator = session(make_user("operator", is_staff=True, is_superuser=True))
    secrets += signed_in(ours.user)
    proper: list[str] = []
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    secrets += webhooks(boss, told, ours)
    turn = 0
    for number in range(HOW_MANY):
        pk, raw = made_by_api(boss, number)
        successor = end(boss, told, number=number, pk=pk)
        proper += filter(None, [raw, successor])
        errors = [*in_its_place(raw), *out_of_place(raw)]
        for _ in range(ERRORS_A_KEY):
            client, method, path, body, extra = errors[turn % len(errors)]
            answer = client.generic(method, path, body, content_type="application/json", **extra)
            if raw not in path:  # links and redirects repeat the address that they were asked at
                told.hear(answer)
            turn += 1
        told.hear(boss.get(f"/api/keys/{pk}"))
        if number % 50 == 0:
            admin_pages(operator, told, pk=pk, raw=raw)
    assert turn > 2 * len(errors)
    # Which of the errors meet a key that still works, changes with their number; this one has to, to be kept at all.
    _, raw = made_by_api(boss, HOW_MANY)
    proper.append(raw)
    told.hear(
        with_header(raw).generic(
            "POST",
            "/api/query",
            b'{"question": "Why?"}',
            content_type="application/json",
            HTTP_IDEMPOTENCY_KEY=raw,
        )
    )
    commands(told, capsys)
    told.hear(boss.get("/api/keys?limit=200"))
    said = {"answers": "\n".join(told.answers), "log": "\n".join(heard.lines), **written()}
    assert not [place for place in LOOKED_AT if not said[place]]
    for place, text in said.items():
        left = [secret for secret in [*secrets, *proper] if secret.removeprefix("rag_") in text]
        assert not left, (place, [around(text, secret.removeprefix("rag_")) for secret in left[:3]])


def around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(0, at - 300) : at + 100]


def signed_in(user: User) -> list[str]:
    """The pair of tokens that a sign-in gives."""
    user.set_password(PASSWORD)
    user.save()
    tokens = (
        Client()
        .post(
            "/api/token", {"username": user.username, "password": PASSWORD}, content_type="application/json"
        )
        .json()
    )
    for token in (tokens["access"], f"{tokens['access']}x", tokens["refresh"]):
        bearer(token).get("/api/history")
    return list(tokens.values())
