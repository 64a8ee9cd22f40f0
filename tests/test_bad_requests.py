"""Hostile headers, paths and faults of our own: each the documented problem, and a request id on every response."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from tests.makers import Party, make_key, make_user
from tests.problems import problem

NOBODY = "33759125-b8f3-4040-8175-7dff5bc02b4a"


@pytest.fixture
def business(db: None, ours: Party) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(ours.business)
    return client


def hostile_headers() -> Iterator[dict[str, Any]]:
    """What a WSGI server hands on: strings of Latin-1, whatever the bytes were meant to be."""
    key = "rag_" + "0" * 32
    pieces = ["", " ", "rag_", key[:-1], key + "0", key.upper(), key + "\0", "\0" + key, "\0", "null", "ключ".encode().decode("latin-1"),
              "🔑".encode().decode("latin-1"), "\xff\xfe", "x" * 8_000, "rag_" + "f" * 8_000, "' OR '1'='1", "'; DROP TABLE apikeys_apikey;--",
              "../../etc/passwd", "%00", "${jndi:ldap://x}", "a.b.c", "..", "e30.e30.", "e30.e30.e30", key + " " + key, key + "," + key]  # fmt: skip
    for depth in (900, 1_200, 6_000):  # a token's first part is JSON as well
        pieces.append(base64.urlsafe_b64encode(b"[" * depth).decode().rstrip("=") + ".e30.e30")
        pieces.append(base64.urlsafe_b64encode(b'{"a":' * depth).decode().rstrip("=") + ".e30.e30")
    for piece in pieces:
        yield {"HTTP_X_API_KEY": piece}
        yield from (
            {"HTTP_AUTHORIZATION": scheme + piece}
            for scheme in ("Bearer ", "bearer ", "BEARER\t", "Basic ", "Token ", "")
        )
        yield {"HTTP_X_API_KEY": piece, "HTTP_AUTHORIZATION": f"Bearer {key}"}


@pytest.mark.django_db
def test_hostile_credentials_are_no_credentials() -> None:
    headers = list(hostile_headers())
    assert len(headers) >= 200
    client = Client(raise_request_exception=False)
    answers = set()
    for credentials in headers:
        response = client.get("/api/history", **credentials)
        body = problem(response, 401, "unauthenticated")
        answers.add(body["detail"])
    assert answers == {"No valid credentials were given."}


def test_one_key_in_both_headers_is_one_key(ours: Party) -> None:
    client = Client()
    bearer: Any = {"HTTP_AUTHORIZATION": f"Bearer {ours.raw}"}
    assert client.get("/api/keys/self", HTTP_X_API_KEY=ours.raw, **bearer).status_code == 200
    _, other = make_key(ours.tenant)
    problem(client.get("/api/keys/self", HTTP_X_API_KEY=other, **bearer), 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": "a b"},
        {"HTTP_HOST": "testserver:99999x"},
        {"HTTP_X_FORWARDED_FOR": "\0, '; --"},
        {"HTTP_COOKIE": "sessionid=\0\xff; csrftoken=" + "x" * 4_000},
        {"HTTP_ACCEPT_LANGUAGE": "xx;q=nonsense" * 100},
        {"HTTP_X_REQUEST_ID": NOBODY},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_RANGE": "bytes=-"},
        {"HTTP_IF_MODIFIED_SINCE": "Mon, 99 Foo"},
    ],
)
@pytest.mark.django_db
def test_hostile_headers(headers: dict[str, Any]) -> None:
    response = Client(raise_request_exception=False).get("/api/keys", **headers)
    body = problem(response, 400 if "HTTP_HOST" in headers else 401)
    assert body["request_id"] != NOBODY


def test_what_is_asked_for_and_not_there_is_406(business: Client) -> None:
    problem(business.get("/api/keys", HTTP_ACCEPT="image/png"), 406, "not_acceptable")


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/api/nothing", "/v1/nothing", "/api/keys/7", "/api/keys/%00", "/api/query/", "/api/%ff%fe",
     "/api/keys/" + "x" * 5_000, "/api/history/" + NOBODY + "/", "/api//keys"],
)  # fmt: skip
@pytest.mark.django_db
def test_unknown_paths(path: str) -> None:
    for method in ("get", "post", "delete"):
        problem(getattr(Client(raise_request_exception=False), method)(path), 404, "not_found")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def breaks(path: str) -> None:
        def explode(*args: Any, **kwargs: Any) -> None:
            raise ZeroDivisionError("the secret of the house")

        monkeypatch.setattr(path, explode)

    return breaks


def test_500_tells_a_request_id_and_nothing_else(business: Client, broken: Callable[[str], None]) -> None:
    broken("apikeys.api.KeysView.get_queryset")
    response = business.get("/api/keys")
    body = problem(response, 500, "internal")
    assert "secret" not in response.content.decode()
    assert "ZeroDivision" not in response.content.decode()
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}


def test_500_of_a_page_is_a_page(db: None, broken: Callable[[str], None]) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(make_user("operator", is_staff=True, is_superuser=True))
    broken("apikeys.admin.APIKeyAdmin.get_queryset")
    response = client.get("/admin/apikeys/apikey/")
    assert response.status_code == 500
    assert response["Content-Type"].startswith("text/html")
    assert response["X-Request-ID"] in response.content.decode()
    assert "secret" not in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/admin/login/", 200),
        ("/admin/", 302),
        ("/nothing", 404),
        ("/static/nothing.css", 404),
        ("/static/unfold/css/styles.css", 200),
        ("/api/schema", 200),
        ("/api/docs", 200),
        ("/api/keys", 401),
        ("/status", 401),
    ],
)
def test_every_response_has_an_id_of_its_own(path: str, status: int) -> None:
    client = Client()
    responses = [client.get(path, HTTP_X_REQUEST_ID="mine") for _ in range(2)]
    assert [response.status_code for response in responses] == [status, status]
    assert len({response["X-Request-ID"] for response in responses} - {"mine"}) == 2


@pytest.mark.django_db
def test_page_that_is_not_there_quotes_nothing_of_its_address() -> None:
    response = Client().get("/<script>alert(1)</script>")
    assert response.status_code == 404
    assert b"<script" not in response.content
