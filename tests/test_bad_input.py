"""What cannot be understood gets the documented problem, and never a 500."""

import base64
import json
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from hypothesis import HealthCheck, given, settings, strategies

from tests.makers import Party
from tests.problems import problem
from tests.routes import routes
from tests.strangers import person
from tests.webhooks.making import make_webhook

NOBODY = str(uuid4())
# Each route that takes a JSON body, and a body that it would take.
BODIES: dict[str, dict[str, Any]] = {
    "/api/query": {"question": "Why?", "use_cache": False},
    "/api/search": {"question": "Why?"},
    "/api/chat": {"message": "Why?", "use_cache": False},
    "/api/history/<uuid:pk>/feedback": {"rating": "up"},
    "/api/evaluations/sets/from-past": {"name": "a set", "origin": "history"},
    "/api/evaluations/runs": {"set": NOBODY},
    "/api/keys": {"name": "a program"},
    "/api/keys/<uuid:pk>/rotate": {"overlap_seconds": 5},
    "/api/webhooks": {"url": "https://hooks.example.com/ragsite"},
    "/api/webhooks/<uuid:pk>/rotate": {"overlap_seconds": 5},
    "/api/token": {"username": "nobody", "password": "nothing"},
    "/api/token/refresh": {"refresh": "a.b.c"},
    "/v1/chat/completions": {"model": "ragsite", "messages": [{"role": "user", "content": "Why?"}]},
    "/v1/embeddings": {"model": "all-MiniLM-L6-v2", "input": "Why?"},
}
MESSAGES = {"/mcp"}  # tests/protocols/test_mcp.py has what is wrong with those
WRITES_WITHOUT_BODY = {
    "/api/evaluations/runs/<uuid:pk>/cancel",
    "/api/history/<uuid:pk>/replay",
    "/api/keys/<uuid:pk>/revoke",
    "/api/documents/<uuid:pk>/reprocess",
    "/api/webhooks/<uuid:pk>/test",
}
MULTIPART = {"/api/documents", "/api/evaluations/sets"}

MALFORMED = {
    "no JSON": b"question=why",
    "cut off": b'{"question": "wh',
    "empty": b"",
    "blank": b"  \n ",
    "a list": b'[{"question": "x"}]',
    "a string": b'"question"',
    "null": b"null",
    "NaN": b'{"question": NaN}',
    "infinite": b'{"top_k": Infinity}',
    "no UTF-8": b'{"question": "\xff\xfe"}',
    "UTF-16": '{"question": "x"}'.encode("utf-16"),
    "deeply nested lists": b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deeply nested objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "huge number": b'{"top_k": ' + b"9" * 5_000 + b"}",
    "single quotes": b"{'question': 'x'}",
    "trailing comma": b'{"question": "x",}',
    "a NUL": b'{"question": "x\x00"}',
    "two documents": b"{}{}",
}
WRONG: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 7,
    "a fraction": 1.5,
    "huge": 10**40,
    "beyond a float": 1e400,
    "negative": -1,
    "a list": [],
    "nested": [[{"a": []}]],
    "an object": {"a": 1},
    "empty": "",
    "a NUL": "a\0b",
    "half a character": "\ud800",
    "too long": "x" * 200_000,
    "SQL": "' OR 1=1 --",
    "text direction": "\u202e\u0007",
}


@pytest.fixture
def no_limit(settings: Any) -> None:
    settings.TOKEN_RATE = "100000/m"


@pytest.fixture
def business(db: None, ours: Party) -> Client:
    """It can write wherever its role may."""
    return person(ours.business)


def path_of(route: str) -> str:
    return route.replace("<uuid:pk>", NOBODY).replace("<path:model>", "nothing")


def send(client: Client, route: str, body: Any, **extra: Any) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra.setdefault("content_type", "application/json")
    return client.post(path_of(route), content, **extra)


def existing(route: str, party: Party) -> str:
    """The route with an id in it that is there, so that the body is what is wrong."""
    if "/keys/" in route:
        return route.replace("<uuid:pk>", str(party.key.pk))
    if "/webhooks/" in route:
        endpoint, _ = make_webhook(party, "https://hooks.example.com/ragsite")
        return route.replace("<uuid:pk>", str(endpoint.pk))
    return route


def test_every_write_route_is_listed() -> None:
    posts = {
        route
        for route, view in routes().items()
        if hasattr(view, "view_class") or hasattr(view, "cls")
        if hasattr(getattr(view, "view_class", None) or view.cls, "post")
    }
    assert posts == set(BODIES) | WRITES_WITHOUT_BODY | MULTIPART | MESSAGES


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.usefixtures("no_limit")
def test_malformed_bodies(business: Client, ours: Party, route: str) -> None:
    for name, content in MALFORMED.items():
        response = send(business, existing(route, ours), content)
        if "feedback" in route:
            problem(response, 404)  # whose it is comes first
        elif name == "empty" and "rotate" in route:
            assert response.status_code in {201, 409}  # every field of it has a default
        else:
            assert problem(response, 400)["code"] in {"malformed", "invalid"}, name


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.usefixtures("no_limit")
def test_wrong_values_name_their_field(business: Client, ours: Party, route: str) -> None:
    for field, name in [(field, name) for field in BODIES[route] for name in WRONG]:
        response = send(business, existing(route, ours), {**BODIES[route], field: WRONG[name]})
        assert response.status_code < 500, (field, name, response.content)
        if response.status_code == 400:
            body = problem(response, 400)
            # What is no JSON at all names no field: Python writes 1e400 as Infinity.
            # Nor does a set that would have no questions.
            named = body["code"] not in {"malformed", "no_questions"}
            assert not named or body["errors"][0]["field"].startswith(field), name


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ("/api/query", "top_k"),
        ("/api/query", "collection"),
        ("/api/query", "document_ids"),
        ("/api/query", "metadata"),
        ("/api/query", "created_at"),
        ("/api/query", "ready_at"),
        ("/api/query", "route"),
        ("/api/query", "database"),
        ("/api/query", "stream"),
        ("/api/query", "use_cache"),
        ("/api/search", "top_k"),
        ("/api/search", "metadata"),
        ("/api/keys", "scopes"),
        ("/api/keys", "collections"),
        ("/api/keys", "networks"),
        ("/api/keys", "rate_limit"),
        ("/api/keys", "burst"),
        ("/api/keys", "monthly_budget_usd"),
        ("/api/keys", "expires_at"),
    ],
)
def test_wrong_options(business: Client, route: str, field: str) -> None:
    for name, value in WRONG.items():
        for wrong in (value, [value], {"a": value}):
            response = send(business, route, {**BODIES[route], field: wrong})
            assert response.status_code < 500, (name, response.content)
            if response.status_code >= 400:
                problem(response, response.status_code)


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.usefixtures("no_limit")
def test_unknown_fields_are_named(business: Client, ours: Party, route: str) -> None:
    names = ["surprise", "half a character \ud800", "a\0b", "x" * 10_000, "__proto__"]
    for name in names:
        response = send(business, existing(route, ours), {**BODIES[route], name: 1})
        if "feedback" in route:
            continue
        (error,) = problem(response, 400, "invalid")["errors"]
        assert error["code"] == "unknown"
        assert len(error["field"]) <= 501


def test_one_problem_lists_a_bounded_number_of_fields(business: Client) -> None:
    response = send(business, "/api/query", {f"field{n}": n for n in range(50_000)})
    assert len(problem(response, 400)["errors"]) == 100


def test_moments_at_the_end_of_time(business: Client) -> None:
    for moment in (
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "2020-01-01",
        "soon",
        "2040-13-01",
    ):
        response = send(business, "/api/keys", {"name": "x", "expires_at": moment})
        assert problem(response, 400, "invalid")["errors"][0]["field"] == "expires_at"


def test_nesting_just_below_what_parses(business: Client) -> None:
    for depth in range(100, 1_000, 30):
        nested = b'{"a":' * depth + b"1" + b"}" * depth
        for route in ("/api/search", "/api/query"):
            response = send(business, route, b'{"question": "x", "metadata": ' + nested + b"}")
            assert response.status_code < 500, depth


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(),
    lambda inner: (
        strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4)
    ),
    max_leaves=8,
)
OPTIONS = ["question", "top_k", "collection", "document_ids", "metadata", "created_at", "ready_at", "route", "database", "stream", "use_cache",
           "name", "scopes", "collections", "networks", "rate_limit", "burst", "monthly_budget_usd", "expires_at",
           "username", "password", "refresh"]  # fmt: skip


@pytest.mark.parametrize("route", ["/api/query", "/api/keys", "/api/token", "/api/token/refresh"])
@pytest.mark.usefixtures("no_limit")
def test_any_json_is_answered(business: Client, route: str) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(strategies.dictionaries(strategies.sampled_from(OPTIONS) | strategies.text(), JSON, max_size=6))
    def answered(body: dict[str, Any]) -> None:
        response = send(business, route, body)
        assert response.status_code < 500, response.content
        if response.status_code >= 400:
            problem(response, response.status_code)

    answered()


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.usefixtures("no_limit")
def test_other_media_types_are_refused(business: Client, ours: Party, route: str) -> None:
    if "feedback" in route:
        pytest.skip("whose it is comes first")
    for media_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "",
        "nonsense",
        "a/b/c",
    ):
        response = send(business, existing(route, ours), BODIES[route], content_type=media_type)
        problem(response, 415, "unsupported_type")


def test_form_is_refused_where_a_file_is_wanted(business: Client) -> None:
    problem(send(business, "/api/documents", {"file": "x"}), 415)
    problem(business.post("/api/documents", b"rubbish", content_type="multipart/form-data"), 400)
    response = business.post("/api/documents", b"rubbish", content_type="multipart/form-data; boundary=x")
    assert problem(response, 400)["errors"][0]["field"] == "file"
    many = {f"field{n}": "x" for n in range(2_000)}
    problem(business.post("/api/documents", many), 400)


@pytest.mark.parametrize(
    "charset", ["utf-16", "zlib", "bz2", "rot13", "hex", "base64", "undefined", "idna", "nonsense"]
)
def test_charset_of_a_header_decides_nothing(business: Client, charset: str) -> None:
    media_type = f"application/json; charset={charset}"
    response = business.generic(
        "POST", "/api/keys", b'{"name": "x", "rate_limit": "y"}', content_type=media_type
    )
    assert problem(response, 400, "invalid")["errors"][0]["field"] == "rate_limit"
    response = business.generic("GET", "/api/keys?limit=%ff&cursor=", b"", content_type=media_type)
    assert response.status_code == 200
    media_type = f"multipart/form-data; boundary=b; charset={charset}"
    response = business.generic("POST", "/api/documents", b"x", content_type=media_type)
    problem(response, 400)


def test_body_over_the_limit(business: Client) -> None:
    body = b'{"question": "' + b"x" * django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    for route in ("/api/query", "/api/keys", "/api/token"):
        problem(send(business, route, body), 413, "too_large")


def test_wrong_methods(business: Client) -> None:
    for route, view in routes().items():
        cls = getattr(view, "view_class", None) or getattr(view, "cls", None)
        if cls is None:
            continue
        allowed = {name for name in ("get", "post", "put", "patch", "delete") if hasattr(cls, name)}
        for method in {"get", "post", "put", "patch", "delete"} - allowed:
            response = getattr(business, method)(path_of(route))
            if response.status_code == 403:  # a route for keys or staff alone says that first
                continue
            problem(response, 405, "method_not_allowed")
            assert {name.lower() for name in response["Allow"].split(", ")} >= allowed


def test_cursors_that_no_list_gave_out(business: Client) -> None:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    for cursor in ("x", "🔑", encoded("p=x"), encoded("p=7"), encoded("p=%00")):
        for path in ("/api/keys", "/api/history", "/api/documents"):
            response = business.get(path, {"cursor": cursor})
            assert problem(response, 400)["errors"][0]["field"] == "cursor", cursor
    for limit in ("0", "-1", "x", "9" * 50, "1e9"):
        assert business.get("/api/keys", {"limit": limit}).status_code == 200


def test_query_strings(business: Client) -> None:
    for days in ("0", "-1", "401", "x", "\0", "1" * 50, "1.5", ""):
        assert problem(business.get("/api/usage", {"days": days}), 400)["errors"][0]["field"] == "days"
    problem(business.get("/api/usage", {"weeks": 1}), 400, "invalid")
    problem(business.get("/api/documents", {"status": "x\0"}), 400, "invalid")
    problem(business.get("/api/documents", {"collection": "a\0b"}), 400, "invalid")


def test_uploads(business: Client) -> None:
    def upload(name: str = "a.txt", content: bytes = b"text", **fields: Any) -> Any:
        return business.post("/api/documents", {"file": SimpleUploadedFile(name, content), **fields})

    problem(upload(content=b""), 400, "empty_file")
    problem(upload("a.png", b"\x89PNG\r\n\x1a\n\0\0\0"), 415)
    problem(upload(collection="a\0b"), 400, "invalid")
    problem(upload(collection="x" * 101), 400, "invalid")
    for metadata in ("{", "[]", "null", "7", '{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"\\ud800": 1}', '{"a": NaN}', '{"a": 1e400}',
                     '{"a": ' * 5_000, '{"a": "' + "x" * 20_000 + '"}'):  # fmt: skip
        assert problem(upload(metadata=metadata), 400, "invalid")["errors"][0]["field"] == "metadata", (
            metadata[:20]
        )
    problem(upload(surprise="x"), 400, "invalid")
