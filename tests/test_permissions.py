"""Who may call what: every route of the site with every kind of caller."""

import json
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.utils import timezone

from apikeys.models import APIKey
from documents.models import Document, DocumentText
from queries.models import Conversation, EvaluationRun, EvaluationSet, Query
from ragsite.lib.identifiers import uuid7
from tests import hidden, strangers
from tests.makers import Party, make_conversation, make_document, make_key
from tests.problems import problem, without_request_id
from tests.routes import everything, routes
from tests.strangers import World
from tests.webhooks.making import make_webhook
from webhooks.models import Endpoint

# What each caller gets; ids in paths are ours. People have sessions, which do not count at the addresses for programs. `none`: whoever holds nothing that counts. `away`: a key from a network
# that it is not for. `bare`: a key without a scope. `boss`: a business user. `t.`: of the other tenant.
TABLE = """
                                          none away bare query ingest user boss staff  t.query t.ingest t.user t.boss
GET     /                                  302  302  302   302    302  302  302   302      302      302    302    302
GET     /health                            200  200  200   200    200  200  200   200      200      200    200    200
GET     /ready                             200  200  200   200    200  200  200   200      200      200    200    200
GET     /status                            401  401  401   401    401  403  403   200      401      401    403    403

POST    /api/token                         401  401  401   401    401  401  401   401      401      401    401    401
POST    /api/token/refresh                 401  401  401   401    401  401  401   401      401      401    401    401
GET     /api/session/login/                200  200  200   200    200  200  200   200      200      200    200    200
POST    /api/session/login/                200  200  200   200    200  200  200   200      200      200    200    200
POST    /api/session/logout/               200  200  200   200    200  200  200   200      200      200    200    200
GET     /api/schema                        200  200  200   200    200  200  200   200      200      200    200    200
GET     /api/docs                          200  200  200   200    200  200  200   200      200      200    200    200

POST    /api/query                         401  403  403   200    403  200  200   403      200      403    200    200
POST    /api/search                        401  403  403   200    403  200  200   403      200      403    200    200
GET     /api/history                       401  403  403   200    403  200  200   403      200      403    200    200
GET     /api/history/<uuid:pk>             401  403  403   200    403  200  200   403      404      403    404    404
POST    /api/history/<uuid:pk>/feedback    401  403  403   200    403  200  200   403      404      403    404    404
POST    /api/chat                          401  403  403   200    403  200  200   403      200      403    200    200
GET     /api/chat/history                  401  403  403   200    403  200  200   403      200      403    200    200
GET     /api/chat/history/<uuid:pk>        401  403  403   200    403  404  200   403      404      403    404    404
PATCH   /api/chat/history/<uuid:pk>        401  403  403   200    403  404  200   403      404      403    404    404
DELETE  /api/chat/history/<uuid:pk>        401  403  403   204    403  404  204   403      404      403    404    404
GET     /api/history/<uuid:pk>/trace       401  403  403   403    403  403  200   403      403      403    403    404
POST    /api/history/<uuid:pk>/replay      401  403  403   403    403  403  200   403      403      403    403    404
GET     /api/evaluations/sets              401  403  403   403    403  403  200   403      403      403    403    200
POST    /api/evaluations/sets              401  403  403   403    403  403  201   403      403      403    403    201
POST    /api/evaluations/sets/from-past    401  403  403   403    403  403  201   403      403      403    403    400
GET     /api/evaluations/sets/<uuid:pk>    401  403  403   403    403  403  200   403      403      403    403    404
DELETE  /api/evaluations/sets/<uuid:pk>    401  403  403   403    403  403  204   403      403      403    403    404
GET     /api/evaluations/sets/<uuid:pk>/questions  401 403 403 403 403 403  200   403      403      403    403    404
GET     /api/evaluations/runs              401  403  403   403    403  403  200   403      403      403    403    200
POST    /api/evaluations/runs              401  403  403   403    403  403  202   403      403      403    403    404
GET     /api/evaluations/runs/<uuid:pk>    401  403  403   403    403  403  200   403      403      403    403    404
DELETE  /api/evaluations/runs/<uuid:pk>    401  403  403   403    403  403  204   403      403      403    403    404
POST    /api/evaluations/runs/<uuid:pk>/cancel     401 403 403 403 403 403  200   403      403      403    403    404
GET     /api/evaluations/runs/<uuid:pk>/results    401 403 403 403 403 403  200   403      403      403    403    404
GET     /api/evaluations/runs/<uuid:pk>/comparison 401 403 403 403 403 403  200   403      403      403    403    404
GET     /api/cache                         401  403  403   403    403  403  200   403      403      403    403    200
DELETE  /api/cache                         401  403  403   403    403  403  204   403      403      403    403    204

GET     /api/documents                     401  403  403   403    200  403  200   403      403      200    403    200
POST    /api/documents                     401  403  403   403    202  403  202   403      403      202    403    202
GET     /api/documents/<uuid:pk>           401  403  403   403    200  403  200   403      403      404    403    404
DELETE  /api/documents/<uuid:pk>           401  403  403   403    204  403  204   403      403      404    403    404
GET     /api/documents/<uuid:pk>/events    401  403  403   403    200  403  200   403      403      404    403    404
GET     /api/documents/<uuid:pk>/text      401  403  403   403    200  403  200   403      403      404    403    404
POST    /api/documents/<uuid:pk>/reprocess 401  403  403   403    202  403  202   403      403      404    403    404

GET     /api/keys                          401  403  403   403    403  403  200   403      403      403    403    200
POST    /api/keys                          401  403  403   403    403  403  201   403      403      403    403    201
GET     /api/keys/self                     401  403  200   200    200  403  403   403      200      200    403    403
GET     /api/keys/<uuid:pk>                401  403  403   403    403  403  200   403      403      403    403    404
POST    /api/keys/<uuid:pk>/rotate         401  403  403   403    403  403  201   403      403      403    403    404
POST    /api/keys/<uuid:pk>/revoke         401  403  403   403    403  403  200   403      403      403    403    404
GET     /api/keys/<uuid:pk>/usage          401  403  403   403    403  403  200   403      403      403    403    404
GET     /api/webhooks                      401  403  403   403    403  403  200   403      403      403    403    200
POST    /api/webhooks                      401  403  403   403    403  403  201   403      403      403    403    201
GET     /api/webhooks/<uuid:pk>            401  403  403   403    403  403  200   403      403      403    403    404
PATCH   /api/webhooks/<uuid:pk>            401  403  403   403    403  403  200   403      403      403    403    404
DELETE  /api/webhooks/<uuid:pk>            401  403  403   403    403  403  204   403      403      403    403    404
POST    /api/webhooks/<uuid:pk>/rotate     401  403  403   403    403  403  201   403      403      403    403    404
POST    /api/webhooks/<uuid:pk>/test       401  403  403   403    403  403  202   403      403      403    403    404
GET     /api/webhooks/<uuid:pk>/deliveries 401  403  403   403    403  403  200   403      403      403    403    404

GET     /api/usage                         401  403  403   403    403  403  200   403      403      403    403    200

POST    /v1/chat/completions               401  403  403   200    403  401  401   401      200      403    401    401
POST    /v1/embeddings                     401  403  403   200    403  401  401   401      200      403    401    401
GET     /v1/models                         401  403  403   200    403  401  401   401      200      403    401    401
GET     /v1/models/<path:model>            401  403  403   200    403  401  401   401      200      403    401    401
POST    /mcp                               401  403  403   200    403  401  401   401      200      403    401    401
"""
# A session that the site still knows, and that belongs to no operator.
EXCEPTIONS = {("GET /status", "closed tenant's user"): 403}
# Why a known caller is refused, by its column.
CODES = {
    "away": "network",
    "staff": "no_tenant",
    "user": "role",
    "boss": "role",
    "t.user": "role",
    "t.boss": "role",
}
OWN_SET = UUID("01a1fbc0-0000-7000-8000-000000000002")
# What takes a form with a file.
FILES = {
    "POST /api/documents": {},
    "POST /api/evaluations/sets": {"name": "another set"},
}
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/token": {"username": "nobody", "password": "nothing"},
    "POST /api/token/refresh": {"refresh": "a.b.c"},
    "POST /api/query": {"question": "Why?"},
    "POST /api/search": {"question": "Why?"},
    "POST /api/chat": {"message": "Why?"},
    "PATCH /api/chat/history/<uuid:pk>": {"title": "Why"},
    "POST /api/history/<uuid:pk>/feedback": {"rating": "up"},
    "POST /api/keys": {"name": "a program"},
    "POST /api/evaluations/sets/from-past": {"name": "a set", "origin": "history"},
    "POST /api/evaluations/runs": {"set": str(OWN_SET)},
    "POST /api/webhooks": {"url": "https://hooks.example/"},
    "POST /v1/chat/completions": {"model": "ragsite", "messages": [{"role": "user", "content": "Why?"}]},
    "POST /v1/embeddings": {"model": "all-MiniLM-L6-v2", "input": "Why?"},
    "POST /mcp": {"jsonrpc": "2.0", "id": 1, "method": "ping"},
}
REFUSED = {"type": "urn:ragsite:problem:unauthenticated", "title": "Not signed in", "status": 401,
           "detail": "No valid credentials were given.", "code": "unauthenticated"}  # fmt: skip
# Answered alike whatever the method; they read nothing of the request.
ANY_METHOD = {"/", "/health", "/ready"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def read_table() -> dict[str, dict[str, int]]:
    """By method and route, then by column."""
    heading, *rows = [line.split() for line in TABLE.splitlines() if line.strip()]
    return {
        f"{method} {route}": dict(zip(heading, map(int, statuses), strict=True))
        for method, route, *statuses in rows
    }


MATRIX = read_table()


@dataclass(frozen=True)
class Ours:
    """What ids in paths stand for."""

    document: Document
    key: APIKey
    query: Query
    webhook: Endpoint
    conversation: Conversation
    asked: EvaluationSet
    run: EvaluationRun

    def path(self, route: str) -> str:
        things = {
            "documents": self.document,
            "keys": self.key,
            "history": self.query,
            "webhooks": self.webhook,
            "chat": self.conversation,
            "sets": self.asked,
            "runs": self.run,
        }
        name = route.removeprefix("/api/evaluations").removeprefix("/api").split("/")[1]
        thing = things.get(name) if "<uuid:pk>" in route else None
        path = (
            route.replace("<uuid:pk>", str(thing.pk)) if thing else route.replace("<path:model>", "ragsite")
        )
        return f"{path}?other={self.run.pk}" if path.endswith("/comparison") else path


@pytest.fixture(autouse=True)
def no_limit_by_address(settings: Any) -> None:
    settings.TOKEN_RATE = "100000/m"


@pytest.fixture
def world(ours: Party, theirs: Party) -> World:
    return strangers.known(ours, theirs)


@pytest.fixture
def things(ours: Party, world: World) -> Ours:
    document = make_document(ours.tenant, "ours")
    Document.objects.for_tenant(ours.tenant).filter(pk=document.pk).update(status="ready")
    DocumentText.objects.for_tenant(ours.tenant).create(tenant=ours.tenant, document=document, text="ours")
    query = Query.objects.for_tenant(ours.tenant).create(
        id=uuid7(), tenant=ours.tenant, question="Whose?", created_at=timezone.now(), status="answered",
        key=world.query_key, user=ours.user, trace=hidden.TRACE, sources=[{"n": 1, "document_id": str(document.pk)}],
    )  # fmt: skip
    webhook, _ = make_webhook(ours, "https://hooks.example/")
    conversation = make_conversation(ours.tenant, key=world.query_key)
    asked = EvaluationSet.objects.create(id=OWN_SET, tenant=ours.tenant, name="a few questions")
    run = EvaluationRun.objects.create(tenant=ours.tenant, set=asked)
    return Ours(document, make_key(ours.tenant)[0], query, webhook, conversation, asked, run)


def call(client: Client, row: str, *, path: str) -> Any:
    """The response to a request that is in order; what it changed is as it was before."""
    method, cookies = row.partition(" ")[0], SimpleCookie(client.cookies)
    with transaction.atomic():
        if row in FILES:
            response = client.post(
                path, {**FILES[row], "file": SimpleUploadedFile("a.txt", b"question\nWhy?")}
            )
        else:
            response = client.generic(method, path, _json(row), content_type="application/json")
        transaction.set_rollback(True)
    client.cookies = cookies  # signing out was taken back too
    return response


def _json(row: str) -> bytes:
    return json.dumps(BODIES.get(row, {})).encode()


def test_every_route_is_in_the_table() -> None:
    routes = {route for route in everything() if not route.startswith("/admin/")}
    assert routes == {row.partition(" ")[2] for row in MATRIX}


def test_matrix(ours: Party, world: World, things: Ours) -> None:
    """Every row of the table with every caller; a failure lists the cells that are wrong."""
    nobodies = strangers.strangers(ours)
    wrong: dict[tuple[str, str], str] = {}
    for row, expected in MATRIX.items():
        path = things.path(row.partition(" ")[2])
        for column, client in world.known.items():
            wrong |= differs(row, column, call(client, row, path=path), expected[column])
        for name, client in nobodies.items():
            status = EXCEPTIONS.get((row, name), expected["none"])
            wrong |= differs(row, name, call(client, row, path=path), status)
    assert not wrong


def differs(row: str, caller: str, answer: Any, status: int) -> dict[tuple[str, str], str]:
    """What is wrong with an answer, by row and caller; refusals are held to their form, and all 401s to one body."""
    if answer.status_code != status:
        return {(row, caller): f"{answer.status_code}, not {status}: {answer.content[:200]!r}"}
    if status == 401:
        assert without_request_id(problem(answer, 401)) == REFUSED
    elif status == 403:
        problem(answer, 403, "forbidden" if row == "GET /status" else CODES.get(caller, "scope"))
    elif status == 404:
        problem(answer, 404, "not_found")
    return {}


def test_methods_that_are_not_in_the_table(world: World, things: Ours) -> None:
    """Someone who may call a route hears 405; everybody else hears what he always hears."""
    for route in set(routes()) - ANY_METHOD:
        listed = [row for row in MATRIX if row.endswith(f" {route}")]
        row = MATRIX[listed[0]]
        may, status = next(
            (column, row[column])
            for column in ("boss", "bare", "query", "staff")
            if row[column] not in {401, 403} or column == "staff"
        )
        for method in set(METHODS) - {row.partition(" ")[0] for row in listed}:
            asked, path = f"{method} {route}", things.path(route)
            problem(call(world.known[may], asked, path=path), 405)
            problem(call(Client(), asked, path=path), 405 if row["none"] == status else 401)
