"""Two tenants who ask the same at the same moment, in every way: neither is ever told a word of the other's."""

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests import site
from tests.chaos.flight import model_of_site
from tests.chaos.report import Report, on_its_own_site
from tests.chaos.traffic import Client, carrying
from tests.model_server import Behaviour
from tests.site import Site

ROUNDS = 100
WAYS: tuple[Mapping[str, Any], ...] = (
    {},
    {"stream": True},
    {"use_cache": False},
    {"stream": True, "use_cache": False},
)
_ANSWERED = 200
_ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Makes a tenant with a key of every scope, beside the one that the site begins with.
_TENANT = """
import json, sys
from accounts.models import Tenant
from apikeys import keys
from ragsite.lib import row_security
with row_security.across():
    tenant = Tenant.objects.create(name=sys.argv[1].title(), slug=sys.argv[1])
    limits = {"rate_limit": 60_000, "burst": 10_000}
    _, raw = keys.mint(tenant=tenant, owner=None, name="chaos", scopes=["query", "ingest"], **limits)
print(json.dumps({"id": str(tenant.pk), "key": raw}))
"""
_DJANGO = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'ragsite.settings'; django.setup()\n"


@dataclass(frozen=True)
class Tenant:
    """`secret` stands in its documents and nowhere else; `ids` are its own rows'."""

    name: str
    secret: str
    id: str
    raw: str
    ids: frozenset[str]


def whole() -> Report:
    with model_of_site() as (model, settings):
        model.reset(Behaviour(reply=echo, delay=0.05))
        return on_its_own_site(lambda up: apart(up, rounds=ROUNDS), **settings)


def echo(messages: Sequence[Mapping[str, str]]) -> str:
    """A model that tells everything that it was told."""
    told = " ".join(message["content"] for message in messages)
    return f"{re.sub(r'[^a-zA-Z0-9 ]+', ' ', told)[:4_000]} [1]"


def apart(up: Site, *, rounds: int) -> Report:
    """Each round has a question of its own: both ask it at once in four ways, and then again, when it is cached."""
    one, other = tenant(up, "windmill"), tenant(up, "lighthouse")
    faults: list[str] = []
    seen = Counter[str]()
    calls = [(each, way) for each in (one, other) for way in WAYS]
    gate = threading.Barrier(len(calls), timeout=60)

    def ask(call: tuple[Tenant, Mapping[str, Any]]) -> None:
        each, way = call
        client = Client(up)
        for number in range(rounds):
            body = json.dumps({"question": f"What is the code word of round {number}?", **way}).encode()
            for _ in range(2):
                gate.wait()
                response, content = client.send("POST", "/api/query", body=body, headers=carrying(each.raw))
                strangers = one if each is other else other
                faults.extend(_faults(response.status, content, of=each, other=strangers))
                seen["cached" if b'"from_cache":true' in content else "made"] += 1
        client.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(ask, calls))
    if not seen["cached"] or not seen["made"]:
        faults.append(f"not both ways: {dict(seen)}")
    faults.extend(_history_faults(up, one, other) + _history_faults(up, other, one))
    return Report({"rounds": rounds, "askers": len(calls)}, dict(seen), faults)


def _faults(status: int, content: bytes, *, of: Tenant, other: Tenant) -> list[str]:
    """Whatever is wrong with an answer: nothing of its own in it, or anything of the other's."""
    found = []
    if status != _ANSWERED or b"event: error" in content:
        found.append(f"{of.name} was answered {status}: {content[:300]!r}")
    elif of.secret.encode() not in content:
        found.append(f"{of.name} was not told its own secret: {content[:300]!r}")
    if other.secret.encode() in content or other.name.encode() in content:
        found.append(f"{of.name} was told of {other.name}: {content[:300]!r}")
    ids = {each.decode() for each in _ID.findall(content)}
    if ids & {*other.ids, other.id}:
        found.append(f"{of.name} was told ids of {other.name}: {ids & {*other.ids, other.id}}")
    return found


def _history_faults(up: Site, of: Tenant, other: Tenant) -> list[str]:
    client = Client(up)
    _, content = client.send("GET", "/api/history?limit=100", headers=carrying(of.raw))
    client.close()
    return _faults(_ANSWERED, content, of=of, other=other)


def tenant(up: Site, name: str) -> Tenant:
    """One that has a document, whose secret is a word of its own."""
    command = [sys.executable, "-c", _DJANGO + _TENANT, name]
    made = subprocess.run(command, env=up.environment, capture_output=True, check=True, text=True)
    facts = json.loads(made.stdout.strip().splitlines()[-1])
    secret = f"{name}secret"
    text = f"The code word of every round is {secret}. It is told to nobody else."
    with up.client() as client:
        client.headers["X-API-Key"] = facts["key"]
        upload = client.post(
            "/api/documents", files={"file": (f"{name}.txt", text.encode())}
        ).raise_for_status()
        document = site.finished(client, upload.json()["id"])
        assert document["status"] == "ready", document
        found = (
            client.post("/api/search", json={"question": "code word"}).raise_for_status().json()["results"]
        )
    ids = {document["id"], *(result["chunk_id"] for result in found)}
    return Tenant(name, secret, facts["id"], facts["key"], frozenset(ids))
