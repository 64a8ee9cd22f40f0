"""Who may call what: every route of the site with every kind of caller."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import Tenant
from apikeys import keys
from queries.models import Query
from ragsite.lib.identifiers import uuid7
from tests.makers import Party, make_document, make_key, make_user
from tests.problems import problem, without_request_id
from tests.routes import routes

ANYONE = frozenset({"anyone"})
QUERY = frozenset({"query key", "user", "business"})
INGEST = frozenset({"ingest key", "business"})
BUSINESS = frozenset({"business"})
KEYS = frozenset({"query key", "ingest key", "key without a scope"})
OPERATOR = frozenset({"operator"})

# Who is let in to do what; everybody else is refused.
MATRIX: dict[str, dict[str, frozenset[str]]] = {
    "/health": {"GET": ANYONE},
    "/ready": {"GET": ANYONE},
    "/status": {"GET": OPERATOR},
    "/api/token": {"POST": ANYONE},
    "/api/token/refresh": {"POST": ANYONE},
    "/api/schema": {"GET": ANYONE},
    "/api/docs": {"GET": ANYONE},
    "/api/query": {"POST": QUERY},
    "/api/search": {"POST": QUERY},
    "/api/history": {"GET": QUERY},
    "/api/history/<uuid:pk>": {"GET": QUERY},
    "/api/history/<uuid:pk>/feedback": {"POST": QUERY},
    "/api/cache": {"GET": BUSINESS, "DELETE": BUSINESS},
    "/api/documents": {"GET": INGEST, "POST": INGEST},
    "/api/documents/<uuid:pk>": {"GET": INGEST, "DELETE": INGEST},
    "/api/documents/<uuid:pk>/text": {"GET": INGEST},
    "/api/documents/<uuid:pk>/reprocess": {"POST": INGEST},
    "/api/keys": {"GET": BUSINESS, "POST": BUSINESS},
    "/api/keys/self": {"GET": KEYS},
    "/api/keys/<uuid:pk>": {"GET": BUSINESS},
    "/api/keys/<uuid:pk>/rotate": {"POST": BUSINESS},
    "/api/keys/<uuid:pk>/revoke": {"POST": BUSINESS},
    "/api/keys/<uuid:pk>/usage": {"GET": BUSINESS},
    "/api/usage": {"GET": BUSINESS},
}
# Credentials that are none, whatever is called with them.
STRANGERS = ("nobody", "unknown key", "malformed key", "expired key", "revoked key", "key of a closed tenant",
             "person of a closed tenant", "inactive person")  # fmt: skip
KNOWN = (
    "query key",
    "ingest key",
    "key without a scope",
    "key from elsewhere",
    "user",
    "business",
    "operator",
)


@pytest.fixture
def callers(ours: Party) -> dict[str, Client]:
    def key(**settings: Any) -> Client:
        return Client(HTTP_X_API_KEY=make_key(ours.tenant, **settings)[1])

    def session(user: Any) -> Client:
        client = Client()
        client.force_login(user)
        return client

    closed = Tenant.objects.create(name="Closed", slug="closed", active=False)
    revoked, raw = make_key(ours.tenant)
    keys.revoke(revoked)
    return {
        "nobody": Client(),
        "unknown key": Client(HTTP_X_API_KEY=keys.generate()),
        "malformed key": Client(HTTP_AUTHORIZATION="Bearer rag_7"),
        "expired key": key(expires_at=timezone.now() - timedelta(seconds=1)),
        "revoked key": Client(HTTP_X_API_KEY=raw),
        "key of a closed tenant": Client(HTTP_X_API_KEY=make_key(closed)[1]),
        "person of a closed tenant": session(make_user("closed", tenant=closed, role="business")),
        "inactive person": session(
            make_user("inactive", tenant=ours.tenant, role="business", is_active=False)
        ),
        "query key": key(scopes=["query"]),
        "ingest key": key(scopes=["ingest"]),
        "key without a scope": key(scopes=[]),
        "key from elsewhere": key(networks=["192.0.2.0/24"]),
        "user": session(ours.user),
        "business": session(ours.business),
        "operator": session(make_user("operator", is_staff=True, is_superuser=True)),
    }


def call(client: Client, method: str, route: str) -> Any:
    return client.generic(
        method, route.replace("<uuid:pk>", str(uuid4())), b"{}", content_type="application/json"
    )


def test_every_route_is_in_the_matrix() -> None:
    assert set(routes()) == set(MATRIX)


def test_every_method_is_in_the_matrix() -> None:
    for route, view in routes().items():
        cls = getattr(view, "view_class", None) or getattr(view, "cls", None)
        if cls is not None:
            methods = {
                name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(cls, name)
            }
            assert methods == set(MATRIX[route]), route


@pytest.mark.parametrize(
    ("route", "method"), [(route, method) for route, methods in MATRIX.items() for method in methods]
)
def test_matrix(callers: dict[str, Client], settings: Any, route: str, method: str) -> None:
    settings.TOKEN_RATE = "1000/m"
    may = MATRIX[route][method]
    for name in STRANGERS:
        response = call(callers[name], method, route)
        if may is ANYONE:
            assert response.status_code in {200, 400}, name
        else:
            status = 403 if route == "/status" and "person of" in name else 401  # known, and no operator
            problem(response, status, "forbidden" if status == 403 else "unauthenticated")
    for name in KNOWN:
        response = call(callers[name], method, route)
        if may is ANYONE or name in may:
            assert response.status_code not in {401, 403, 405}, (name, response.content)
            assert response.status_code < 500 or route == "/ready", (name, response.content)
        else:
            refused(name, response, route=route)


def refused(name: str, response: Any, *, route: str) -> None:
    if route == "/status":  # it takes a session, and knows no keys
        problem(response, 401 if "key" in name else 403)
        return
    codes = {"key from elsewhere": "network", "operator": "no_tenant", "user": "role", "business": "role"}
    problem(response, 403, codes.get(name, "scope"))


# Other tenants' things, and other people's --------------------------------------------------------------------


def make_query(party: Party, **whose: Any) -> Query:
    identifier = uuid7()
    return Query.objects.for_tenant(party.tenant).create(
        id=identifier, tenant=party.tenant, question="Whose?", created_at=timezone.now(), response_time_ms=1,
        status=Query.Status.ANSWERED, **whose
    )  # fmt: skip


def same_answer(send: Callable[[str], Any], foreign: object, status: int = 404) -> None:
    """A thing that is another's and a thing that never was give one answer."""
    answers = []
    for identifier in (foreign, uuid4()):
        response = send(str(identifier))
        body = problem(response, status)
        answers.append((without_request_id(body), sorted(response.headers)))
        assert str(identifier) not in response.content.decode()
    assert answers[0] == answers[1]


@pytest.fixture
def client(ours: Party) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(ours.business)
    return client


@pytest.mark.parametrize(
    ("route", "method"),
    [(route, method) for route, methods in MATRIX.items() if "<uuid:pk>" in route for method in methods],
)
def test_foreign_ids_in_paths(client: Client, ours: Party, theirs: Party, route: str, method: str) -> None:
    things = {
        "history": make_query(theirs, key=theirs.key),
        "documents": make_document(theirs.tenant, "theirs"),
        "keys": theirs.key,
    }
    thing = things[route.split("/")[2]]

    def send(identifier: str) -> Any:
        body = b'{"rating": "up"}' if "feedback" in route else b"{}"
        path = route.replace("<uuid:pk>", identifier)
        return client.generic(method, path, body, content_type="application/json")

    same_answer(send, thing.pk)
    thing.refresh_from_db()  # and it is still there


def test_foreign_ids_in_bodies(client: Client, theirs: Party) -> None:
    document = make_document(theirs.tenant, "theirs", collection="secret")

    def post(path: str, **body: Any) -> Any:
        return client.post(path, body, content_type="application/json")

    collection = document.collection_id
    same_answer(lambda pk: post("/api/keys", name="x", collections=[pk]), collection)
    for path in ("/api/query", "/api/search"):
        same_answer(partial(ask, client, path), collection)
        problem(post(path, question="Whose?", collection="secret"), 404)
    same_answer(lambda pk: client.post("/api/documents", {"file": as_file(), "collection": pk}), collection)


def ask(client: Client, path: str, collection: str) -> Any:
    body = {"question": "Whose?", "collection": collection}
    return client.post(path, body, content_type="application/json")


def test_foreign_documents_are_searched_no_more_than_absent_ones(client: Client, theirs: Party) -> None:
    document = make_document(theirs.tenant, "theirs")
    answers = [
        client.post(
            "/api/search", {"question": "Whose?", "document_ids": [str(pk)]}, content_type="application/json"
        )
        for pk in (document.pk, uuid4())
    ]
    assert answers[0].status_code == answers[1].status_code
    if answers[0].status_code == 200:
        assert answers[0].json() == answers[1].json() == {"results": []}
    else:
        assert without_request_id(problem(answers[0], 404)) == without_request_id(problem(answers[1], 404))


def test_foreign_ids_in_query_strings(client: Client, theirs: Party) -> None:
    document = make_document(theirs.tenant, "theirs", collection="secret")
    same_answer(lambda pk: client.get("/api/documents", {"collection": pk}), document.collection_id)
    problem(client.get("/api/documents", {"collection": "secret"}), 404)


def test_lists_show_what_is_ours(client: Client, ours: Party, theirs: Party) -> None:
    for party in (ours, theirs):
        make_document(party.tenant, f"of {party.tenant.slug}")
        make_query(party, key=party.key)
    for path in ("/api/keys", "/api/documents", "/api/history"):
        shown = client.get(path)
        assert len(shown.json()["results"]) == 1, path
        assert "theirs" not in shown.content.decode()


def test_history_is_ones_own_within_a_tenant(ours: Party) -> None:
    other_key, raw = make_key(ours.tenant)
    of_key = make_query(ours, key=other_key)
    of_user = make_query(ours, user=ours.user)
    assert seen(ours.business_client) == {of_key.pk, of_user.pk}
    assert seen(ours.user_client) == {of_user.pk}
    assert seen(Client(HTTP_X_API_KEY=raw)) == {of_key.pk}
    assert seen(ours.client) == set()
    same_answer(lambda pk: ours.user_client.get(f"/api/history/{pk}"), of_key.pk)
    same_answer(lambda pk: ours.client.get(f"/api/history/{pk}"), of_user.pk)
    same_answer(
        lambda pk: ours.client.post(f"/api/history/{pk}/feedback", {"rating": "up"}, format="json"), of_key.pk
    )


def seen(client: Any) -> set[Any]:
    return {Query._meta.pk.to_python(row["id"]) for row in client.get("/api/history").json()["results"]}


def test_restricted_key_sees_its_collections_alone(ours: Party) -> None:
    open_one = make_document(ours.tenant, "open", collection="open")
    closed = make_document(ours.tenant, "closed", collection="closed")
    _, raw = make_key(ours.tenant, collection_ids=[open_one.collection_id])
    client = Client(HTTP_X_API_KEY=raw)
    assert [row["id"] for row in client.get("/api/documents").json()["results"]] == [str(open_one.pk)]
    same_answer(lambda pk: client.get(f"/api/documents/{pk}"), closed.pk)
    same_answer(lambda pk: client.delete(f"/api/documents/{pk}"), closed.pk)
    same_answer(
        lambda pk: client.post("/api/documents", {"file": as_file(), "collection": pk}), closed.collection_id
    )
    problem(client.post("/api/documents", {"file": as_file(), "collection": "closed"}), 404)
    problem(client.post("/api/documents", {"file": as_file(), "collection": "new"}), 404)
    nothing = Client(HTTP_X_API_KEY=make_key(ours.tenant, collection_ids=[])[1])
    assert nothing.get("/api/documents").json()["results"] == []


def as_file() -> Any:
    return SimpleUploadedFile("a.txt", b"text")
