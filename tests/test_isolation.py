"""One tenant never sees another: not by an id, a name or a filter, wherever in a request it stands."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.utils import timezone

from queries.models import EvaluationRun, EvaluationSet, Query
from ragsite.lib import redis_client
from ragsite.lib.identifiers import uuid7
from tests import hidden, walls
from tests.hidden import Hidden, shown
from tests.makers import Party, ingest, make_conversation, make_key
from tests.places import Place, places
from tests.problems import problem
from tests.routes import routes
from tests.strangers import access_token, person, session, with_header
from tests.walls import BOTH, DATABASE, FILTER, NEITHER
from tests.webhooks.making import make_webhook
from webhooks.models import Endpoint

# Each place where an id or a name can stand, what of another tenant's is put there, and the answer to it, which is
# the answer to what never was. The last column says what a place is worth as a test: whether it `leaks` when both
# walls are down, or `holds` because nothing of another tenant's is looked up by it.
TABLE = """
POST   /api/chat                         body  collection       collection 404 leaks
POST   /api/chat                         body  collection       name       404 leaks
POST   /api/chat                         body  conversation_id  conversation 404 holds
POST   /api/chat                         body  document_ids[]   document   404 leaks
POST   /api/chat                         body  metadata         metadata   200 leaks
POST   /api/chat                         body  metadata         compared   200 leaks
POST   /api/chat                         body  created_at       day        200 leaks
POST   /api/chat                         body  ready_at         day        200 leaks
POST   /api/chat                         body  database         name       404 holds
POST   /api/chat                         header Idempotency-Key retry      200 leaks
GET    /api/chat/history                 query cursor           cursor     200 leaks
GET    /api/chat/history/{id}            path  id               conversation 404 leaks
GET    /api/chat/history/{id}            query cursor           cursor     200 holds
PATCH  /api/chat/history/{id}            path  id               conversation 404 leaks
DELETE /api/chat/history/{id}            path  id               conversation 404 leaks
GET    /api/documents                    query collection       collection 404 leaks
GET    /api/documents                    query collection       name       404 leaks
GET    /api/documents                    query cursor           cursor     200 leaks
POST   /api/documents                    body  collection       collection 404 leaks
POST   /api/documents                    body  collection       name       202 holds
POST   /api/documents                    body  file             bytes      202 holds
POST   /api/documents                    body  metadata         metadata   202 holds
POST   /api/documents                    header Idempotency-Key retry      202 holds
GET    /api/documents/{id}               path  id               document   404 leaks
DELETE /api/documents/{id}               path  id               document   404 leaks
GET    /api/documents/{id}/events        path  id               document   404 leaks
GET    /api/documents/{id}/text          path  id               document   404 leaks
POST   /api/documents/{id}/reprocess     path  id               document   404 leaks
GET    /api/evaluations/runs             query cursor           cursor     200 leaks
POST   /api/evaluations/runs             body  set              asked      404 leaks
POST   /api/evaluations/runs             body  space            document   404 holds
POST   /api/evaluations/runs             body  model            name       400 holds
GET    /api/evaluations/runs/{id}        path  id               run        404 leaks
DELETE /api/evaluations/runs/{id}        path  id               run        404 leaks
POST   /api/evaluations/runs/{id}/cancel path  id               run        404 leaks
GET    /api/evaluations/runs/{id}/comparison path id            run        404 leaks
GET    /api/evaluations/runs/{id}/comparison query other        run        404 leaks
GET    /api/evaluations/runs/{id}/results path id               run        404 leaks
GET    /api/evaluations/runs/{id}/results query cursor          cursor     200 holds
GET    /api/evaluations/sets             query cursor           cursor     200 leaks
POST   /api/evaluations/sets             body  file             csv        400 leaks
GET    /api/evaluations/sets/{id}        path  id               asked      404 leaks
DELETE /api/evaluations/sets/{id}        path  id               asked      404 leaks
GET    /api/evaluations/sets/{id}/questions path id             asked      404 leaks
GET    /api/evaluations/sets/{id}/questions query cursor        cursor     200 holds
GET    /api/history                      query cursor           cursor     200 leaks
GET    /api/history/{id}                 path  id               query      404 leaks
POST   /api/history/{id}/feedback        path  id               query      404 leaks
GET    /api/history/{id}/trace           path  id               query      404 leaks
POST   /api/history/{id}/replay          path  id               query      404 leaks
GET    /api/keys                         query cursor           cursor     200 leaks
POST   /api/keys                         body  collections[]    collection 404 leaks
GET    /api/keys/{id}                    path  id               key        404 leaks
POST   /api/keys/{id}/rotate             path  id               key        404 leaks
POST   /api/keys/{id}/revoke             path  id               key        404 leaks
GET    /api/keys/{id}/usage              path  id               key        404 leaks
POST   /api/query                        body  collection       collection 404 leaks
POST   /api/query                        body  collection       name       404 leaks
POST   /api/query                        body  document_ids[]   document   404 leaks
POST   /api/query                        body  metadata         metadata   200 leaks
POST   /api/query                        body  metadata         compared   200 leaks
POST   /api/query                        body  created_at       day        200 leaks
POST   /api/query                        body  ready_at         day        200 leaks
POST   /api/query                        body  database         name       404 holds
POST   /api/query                        header Idempotency-Key retry      200 leaks
POST   /api/search                       body  collection       collection 404 leaks
POST   /api/search                       body  collection       name       404 leaks
POST   /api/search                       body  document_ids[]   document   404 leaks
POST   /api/search                       body  metadata         metadata   200 leaks
POST   /api/search                       body  metadata         compared   200 leaks
POST   /api/search                       body  created_at       day        200 leaks
POST   /api/search                       body  ready_at         day        200 leaks
GET    /api/webhooks                     query cursor           cursor     200 leaks
GET    /api/webhooks/{id}                path  id               webhook    404 leaks
PATCH  /api/webhooks/{id}                path  id               webhook    404 leaks
DELETE /api/webhooks/{id}                path  id               webhook    404 leaks
POST   /api/webhooks/{id}/rotate         path  id               webhook    404 leaks
POST   /api/webhooks/{id}/test           path  id               webhook    404 leaks
GET    /api/webhooks/{id}/deliveries     path  id               webhook    404 leaks
GET    /api/webhooks/{id}/deliveries     query cursor           cursor     200 holds
POST   /v1/chat/completions              body  collection       collection 404 leaks
POST   /v1/chat/completions              body  collection       name       404 leaks
POST   /v1/chat/completions              body  database         name       404 holds
POST   /v1/chat/completions              body  document_ids[]   document   404 leaks
POST   /v1/chat/completions              body  metadata         metadata   200 leaks
POST   /v1/chat/completions              body  metadata         compared   200 leaks
POST   /v1/chat/completions              body  created_at       day        200 leaks
POST   /v1/chat/completions              body  ready_at         day        200 leaks
POST   /v1/chat/completions              body  model            model      404 leaks
POST   /v1/embeddings                    body  model            model      404 holds
GET    /v1/models/{model}                path  model            model      404 leaks
"""
OURS = "A plain text about ladders, which stand at the wall of a quarry."
# Free text that names no row. Whoever signs in with another's name, password or token is that other.
NO_NAMES = {"question", "message", "title", "name", "comment", "format", "networks[]", "username", "password", "refresh",
            "url", "description", "prompt", "messages[].content", "messages[].content[]", "messages[].name", "input", "input[]",
            "user", "safety_identifier", "prompt_cache_key", "service_tier", "reasoning_effort", "verbosity"}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/query": {"question": "Which password has the quarry?"},
    "POST /api/search": {"question": "Which password has the quarry?"},
    "POST /api/chat": {"message": "Which password has the quarry?"},
    "PATCH /api/chat/history/{id}": {"title": "A quarry"},
    "POST /api/keys": {"name": "a program"},
    "POST /api/history/{id}/feedback": {"rating": "up"},
    "POST /api/webhooks": {"url": "https://hooks.example/"},
    "POST /v1/chat/completions": {
        "model": "ragsite",
        "use_cache": False,
        "messages": [{"role": "user", "content": "Which password has the quarry?"}],
    },
    "POST /v1/embeddings": {"model": "all-MiniLM-L6-v2", "input": "x"},
    "POST /api/evaluations/sets": {"name": "a set"},
    "POST /api/evaluations/runs": {"set": "01a1fbc0-0000-7000-8000-000000000002"},
}
# What stands in a path while a value is looked at that stands elsewhere.
OWN = {
    "webhooks": UUID("01a1fbc0-0000-7000-8000-000000000001"),
    "sets": UUID("01a1fbc0-0000-7000-8000-000000000002"),
    "runs": UUID("01a1fbc0-0000-7000-8000-000000000003"),
    "chat": UUID("01a1fbc0-0000-7000-8000-000000000004"),
}
# The same question is sent twice, and has to be answered twice.
ASKING = ("POST /api/query", "POST /api/chat", "POST /v1/chat/completions")


class Row(NamedTuple):
    place: Place
    kind: str
    status: int
    leaks: bool

    def __str__(self) -> str:
        return f"{' '.join(self.place)} ({self.kind})"


def read_table() -> list[Row]:
    return [
        Row(Place(f"{method} {path}", where, name), kind, int(status), worth == "leaks")
        for method, path, where, name, kind, status, worth in map(str.split, TABLE.strip().splitlines())
    ]


ROWS = read_table()
each_wall = pytest.mark.parametrize("wall", [BOTH, FILTER, DATABASE])


def send(client: Client, place: Place, value: Any) -> Any:
    """A request that is in order but for the value at this place."""
    method, path = place.operation.split()
    if place.where == "path":
        path = path.replace(f"{{{place.name}}}", value)
    path = path.replace("/chat/history/{id}", f"/chat/history/{OWN['chat']}")
    for name, own in OWN.items():
        path = path.replace(f"/{name}/{{id}}", f"/{name}/{own}")
    if place.where == "query":
        return client.generic(method, f"{path}?{place.name}={value}")
    body = dict(BODIES.get(place.operation, {}))
    if place.operation in ASKING:
        body["use_cache"] = False
    if place.where == "body":
        body[place.name.removesuffix("[]")] = [value] if place.name.endswith("[]") else value
    headers = {place.name: value} if place.where == "header" else {}
    if place.operation in {"POST /api/documents", "POST /api/evaluations/sets"}:
        return client.post(path, as_form(body), headers=headers)
    return client.generic(
        method, path, json.dumps(body).encode(), content_type="application/json", headers=headers
    )


def as_form(body: dict[str, Any]) -> dict[str, Any]:
    content = body.pop("file", f"A file with {sorted(body)}.")
    form = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in body.items()}
    return {**form, "file": SimpleUploadedFile("a.txt", content.encode())}


@pytest.fixture
def boss(ours: Party) -> Client:
    ingest(ours.tenant, OURS)
    hidden.ask(ours, "How long is a ladder?")
    webhook, _ = make_webhook(ours, "https://hooks.example/")
    Endpoint.objects.for_tenant(ours.tenant).filter(pk=webhook.pk).update(id=OWN["webhooks"])
    asked = EvaluationSet.objects.create(id=OWN["sets"], tenant=ours.tenant, name="our questions")
    EvaluationRun.objects.create(id=OWN["runs"], tenant=ours.tenant, set=asked)
    make_conversation(ours.tenant, pk=OWN["chat"], key=ours.key, question="How long is a ladder?")
    return person(ours.business)


@pytest.fixture
def secret(theirs: Party) -> Hidden:
    return hidden.hide(theirs)


def test_every_place_is_in_the_table() -> None:
    known = {row.place for row in ROWS} | {place for place in places() if place.name in NO_NAMES}
    assert known == places()


def test_every_statement_that_names_a_tenant_is_known() -> None:
    """A new one has to be among those that a test without the application's filter takes the tenant out of."""
    assert walls.statements() == {f"{module.__name__}.{name}" for module, name in walls.RAW}


@each_wall
def test_places(
    wall: str, boss: Client, ours: Party, secret: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    walls.stand(wall, monkeypatch)
    key = with_header(ours.raw)
    assert not leaks(boss, secret)
    assert not leaks(key, secret, refused=(403,))
    assert str(secret.tenant_id) not in str(redis_client.client().xrange("records"))


def test_places_without_walls(boss: Client, secret: Hidden, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the table is worth: with both walls down it fails in each place where something is looked up."""
    walls.stand(NEITHER, monkeypatch)
    assert [line.partition(":")[0] for line in leaks(boss, secret)] == [str(row) for row in ROWS if row.leaks]


def leaks(client: Client, secret: Hidden, *, refused: Sequence[int] = (), rows: bool = True) -> list[str]:
    """What the answers tell, a line a place. `refused`: what may be said besides. `rows`: whether a change of them tells."""
    found = {row: leak(row, client, secret, refused=refused, rows=rows) for row in ROWS}
    return [f"{row}: {why}" for row, why in found.items() if why]


def leak(row: Row, client: Client, secret: Hidden, *, refused: Sequence[int], rows: bool) -> str:
    """What an answer tells of what is hidden; empty when it is the answer to what never was."""
    answers = []
    for value in secret.values(row.kind):
        with transaction.atomic():
            before = hidden.rows_of(secret.tenant_id)
            answer = send(client, row.place, value)
            changed = hidden.rows_of(secret.tenant_id) != before
            transaction.set_rollback(True)
        if answer.status_code not in {row.status, *refused}:
            return f"{answer.status_code}: {answer.content[:300]!r}"
        if (changed and rows) or (words := hidden.words_in(answer, secret, sent=value)):
            return f"{words or 'rows changed'}: {answer.content[:300]!r}"
        answers.append(shown(answer, sent=value))
    return "" if answers[0] == answers[1] else f"{answers[0]} is not {answers[1]}"


# Lists, totals and answers -----------------------------------------------------------------------------------

# What an address shows is the same whatever another tenant has: lists, totals, statistics, sources and scores.
SHOWN = ("GET /api/documents", "GET /api/history", "GET /api/keys", "GET /api/keys/self", "GET /api/usage", "GET /api/webhooks",
         "GET /api/evaluations/sets", "GET /api/evaluations/runs", "GET /api/cache", "GET /api/chat/history", "POST /api/chat",
         "POST /api/query", "POST /api/search", "GET /v1/models", "POST /v1/chat/completions")  # fmt: skip
AT_NO_TENANTS = {"/api/token", "/api/token/refresh", "/api/schema", "/api/docs"}


def test_every_list_is_looked_at() -> None:
    """Every address of the API that reads without naming what: those with an id in their path are in the table."""
    reads = {f"GET {route}" for route, view in routes().items() if route.startswith(("/api/", "/v1/")) and "<" not in route
             if hasattr(getattr(view, "cls", view), "get")} | {*ASKING, "POST /api/search"}  # fmt: skip
    assert reads - {f"GET {route}" for route in AT_NO_TENANTS} == set(SHOWN)


@each_wall
def test_what_others_have_changes_nothing_that_is_shown(
    wall: str, boss: Client, ours: Party, theirs: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = {"business": boss, "key": with_header(ours.raw), "user": session(ours.user)}
    before = seen_by(clients)
    hide_and_use(theirs)
    walls.stand(wall, monkeypatch)
    assert seen_by(clients) == before


def test_what_others_have_would_be_shown_without_walls(
    boss: Client, theirs: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = {"business": boss}
    before = seen_by(clients)
    hide_and_use(theirs)
    walls.stand(NEITHER, monkeypatch)
    after = seen_by(clients)
    # What a key may know of itself is found by the key, and the cache by names in Redis.
    assert {asked for asked in before if before[asked] == after[asked]} == {
        ("business", "GET /api/keys/self"),
        ("business", "GET /api/cache"),
    }


# Pages and credentials -----------------------------------------------------------------------------------------


@each_wall
def test_pages_of_the_browsable_api_show_ones_own(
    wall: str, boss: Client, ours: Party, secret: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their forms too, whose choices could be rows."""
    own = [f"/api/documents/{ingest(ours.tenant, OURS).pk}", f"/api/keys/{ours.key.pk}"]
    walls.stand(wall, monkeypatch)
    pages = [asked.split()[1] for asked in SHOWN if " /api/" in asked]
    for path in [*pages, *own, f"/api/keys/{ours.key.pk}/usage"]:
        answer = boss.get(path, headers={"Accept": "text/html"})
        assert answer["Content-Type"].startswith("text/html"), path
        assert not hidden.words_in(answer, secret), path


@each_wall
def test_two_credentials_are_never_two_tenants(
    wall: str, ours: Party, theirs: Party, secret: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What two tenants' credentials get together is one tenant's rows, or none."""
    ingest(ours.tenant, OURS, filename="ladders.txt")
    query = hidden.ask(ours, "How long is a ladder?")
    walls.stand(wall, monkeypatch)
    own = {"ladders", str(ours.key.pk), str(query.pk)}
    for name, client in both_at_once(ours, theirs).items():
        for asked in SHOWN:
            method, path = asked.split()
            body = json.dumps({**BODIES.get(asked, {})}).encode()
            answer = client.generic(method, path, body, content_type="application/json")
            text = answer.content.decode()
            found = any(word in text for word in own)
            assert not (found and hidden.words_in(answer, secret)), (name, asked, text[:300])


def both_at_once(ours: Party, theirs: Party) -> dict[str, Client]:
    """Credentials of two tenants on one request, in each order."""
    token = f"Bearer {access_token(theirs.business)}"
    clients = {
        "key and session": with_header(ours.raw),
        "key and another tenant's token": with_header(ours.raw),
        "session and another tenant's token": session(ours.business),
        "session and another tenant's key": session(ours.business),
    }
    clients["key and session"].force_login(theirs.business)
    clients["key and another tenant's token"].defaults["HTTP_AUTHORIZATION"] = token
    clients["session and another tenant's token"].defaults["HTTP_AUTHORIZATION"] = token
    clients["session and another tenant's key"].defaults["HTTP_X_API_KEY"] = theirs.raw
    return clients


def hide_and_use(theirs: Party) -> None:
    """Rows of everything, and an answer in the cache."""
    hidden.hide(theirs)
    for _ in range(2):
        ask(session(theirs.business))


def seen_by(clients: dict[str, Client]) -> dict[tuple[str, str], Any]:
    return {(name, asked): look(client, asked) for name, client in clients.items() for asked in SHOWN}


def look(client: Client, asked: str) -> Any:
    method, path = asked.split()
    body = json.dumps({**BODIES.get(asked, {}), **({"use_cache": False} if asked in ASKING else {})})
    with transaction.atomic():
        answer = client.generic(method, path, body.encode(), content_type="application/json")
        transaction.set_rollback(True)
    assert answer.status_code < 500, answer.content
    return shown(answer)


def ask(client: Client) -> Any:
    return client.post("/api/query", BODIES["POST /api/query"], content_type="application/json").json()


def test_cached_answers_are_not_shared_by_tenants(ours: Party, theirs: Party) -> None:
    for party in (theirs, ours):
        ingest(party.tenant, OURS)
        assert [ask(session(party.business))["from_cache"] for _ in range(2)] == [False, True]


def test_cached_answers_are_not_shared_by_rights(ours: Party) -> None:
    """A question has an answer for each set of collections, and the first to ask decides for nobody else."""
    first = ingest(ours.tenant, OURS, collection="first")
    second = ingest(ours.tenant, hidden.TEXT, collection="second")
    rights: tuple[list[UUID] | None, ...] = (None, [first.collection_id], [second.collection_id], [])
    for _ in range(2):
        callers = [with_header(make_key(ours.tenant, collection_ids=ids)[1]) for ids in rights]
        answers = [ask(client) for client in callers]
        read = [{source["collection"] for source in answer["sources"]} for answer in answers]
        assert read == [{"first", "second"}, {"first"}, {"second"}, set()]
    assert all(answer["from_cache"] for answer in answers)


# Within a tenant ---------------------------------------------------------------------------------------------


@pytest.fixture
def restricted(ours: Party) -> Client:
    """A key that reads one collection."""
    open_one = ingest(ours.tenant, OURS, collection="open")
    return with_header(make_key(ours.tenant, collection_ids=[open_one.collection_id])[1])


def test_a_restricted_key_learns_nothing_of_other_collections(restricted: Client, ours: Party) -> None:
    secret = hidden.hide(ours)
    assert not leaks(restricted, secret, refused=(403, 404), rows=False)


def test_what_other_collections_hold_changes_nothing_that_is_shown(restricted: Client, ours: Party) -> None:
    before = seen_by({"key": restricted})
    hide_and_use(ours)
    after = seen_by({"key": restricted})
    # How rare a word is, is told over the tenant's whole corpus: scores may differ, and what is found may not.
    assert without_scores(after) == without_scores(before)


def without_scores(seen: Any) -> Any:
    return json.loads(json.dumps(list(seen.items())), object_hook=lambda part: {**part, "score": None})


def test_a_key_of_no_collection_sees_none(ours: Party) -> None:
    ingest(ours.tenant, OURS)
    client = with_header(make_key(ours.tenant, collection_ids=[])[1])
    assert client.get("/api/documents").json()["results"] == []
    assert look(client, "POST /api/search")[2] == {"results": []}


def test_history_is_ones_own(ours: Party) -> None:
    """A business user sees the tenant's, a user their own, and a key its own."""
    other, raw = make_key(ours.tenant)
    of_key = query_of(ours, key=other)
    of_user = query_of(ours, user=ours.user)
    readers = {
        session(ours.business): {of_key, of_user},
        session(ours.user): {of_user},
        with_header(raw): {of_key},
        with_header(ours.raw): set(),
    }
    for client, own in readers.items():
        assert {row["id"] for row in client.get("/api/history").json()["results"]} == own
        for identifier in {of_key, of_user} - own:
            problem(client.get(f"/api/history/{identifier}"), 404)
            path = f"/api/history/{identifier}/feedback"
            problem(client.post(path, {"rating": "up"}, content_type="application/json"), 404)


def query_of(party: Party, **whose: Any) -> str:
    query = Query.objects.for_tenant(party.tenant).create(
        id=uuid7(), tenant=party.tenant, question="Whose?", created_at=timezone.now(),
        status=Query.Status.ANSWERED, **whose,
    )  # fmt: skip
    return str(query.pk)
