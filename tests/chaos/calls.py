"""Requests of many kinds at a steady rate, and what became of each."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from tests.site import Site

LISTEN_SECONDS = 30.0
UNKNOWN_KEY = "rag_" + "0" * 32
_QUESTIONS = (
    "How do I rotate an API key?",
    "What is a usage record?",
    "How long is a revoked key answered?",
    "Which files can be uploaded?",
    "How are answers cited?",
)


@dataclass(frozen=True)
class Call:
    """A request that may be sent. `kind` is what it is for; `key` whose it is, or None for nobody's."""

    kind: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    key: UUID | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a call: `status` and `id` are None when no answer was received. Times in seconds.

    `admitted` tells whether its key was found to be one, refused requests included.
    """

    call: Call
    due: float
    seconds: float
    status: int | None = None
    id: UUID | None = None
    admitted: bool = False
    from_cache: bool = False


@dataclass(frozen=True)
class Key:
    id: UUID
    raw: str

    def asking(self, question: str, *, kind: str = "question", **more: Any) -> Call:
        return Call(kind, "/api/query", _body({"question": question, **more}), _headers(self.raw), self.id)


@dataclass
class Business:
    """The site's business user, who makes and revokes keys."""

    site: Site
    _token: str = field(default="", init=False)

    def key(self, **wanted: Any) -> Key:
        limits = {"name": "chaos", "scopes": ["query"], "rate_limit": 1_000_000, "burst": 1_000_000}
        made = self._post("/api/keys", limits | wanted)
        return Key(UUID(made["id"]), made["key"])

    def revoke(self, key: Key) -> None:
        self._post(f"/api/keys/{key.id}/revoke", {})

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        with self.site.client() as client:
            del client.headers["X-API-Key"]
            if not self._token:
                facts = self.site.facts
                person = {"username": facts["business_username"], "password": facts["business_password"]}
                self._token = client.post("/api/token", json=person).raise_for_status().json()["access"]
            sent = client.post(path, json=body, headers={"Authorization": f"Bearer {self._token}"})
            return sent.raise_for_status().json()


def mixture(keys: Sequence[Key], *, narrow: Key, ingest: Key, chance: random.Random) -> Call:
    """Hits, misses, bad requests, refusals and strangers. `narrow` is soon limited; `ingest` may not ask."""
    key = chance.choice(keys)
    makers: Sequence[tuple[int, Callable[[], Call]]] = (
        (55, lambda: key.asking(chance.choice(_QUESTIONS))),
        (15, lambda: key.asking(f"{chance.choice(_QUESTIONS)} {chance.getrandbits(48):x}", kind="miss")),
        (5, lambda: key.asking("", kind="invalid")),
        (5, lambda: Call("malformed", "/api/query", b'{"question":', _headers(key.raw), key.id)),
        (5, lambda: key.asking(_QUESTIONS[0], kind="no collection", collection="nowhere")),
        (5, lambda: narrow.asking(_QUESTIONS[0], kind="limited")),
        (5, lambda: ingest.asking(_QUESTIONS[0], kind="scope")),
        (5, stranger),
    )
    [make] = chance.choices([make for _, make in makers], [weight for weight, _ in makers])
    return make()


def stranger(raw: str = UNKNOWN_KEY, *, kind: str = "unknown key") -> Call:
    return Call(kind, "/api/query", _body({"question": _QUESTIONS[0]}), _headers(raw))


class Traffic:
    """Sends calls at `rate` a second from `threads` connections, each at its time or as soon after as can be."""

    def __init__(self, site: Site, *, rate: float, threads: int = 24) -> None:
        self._site = site
        self._rate = rate
        self._threads = threads
        self._local = threading.local()

    def send(self, calls: Sequence[Call]) -> list[Outcome]:
        began = time.monotonic()
        with ThreadPoolExecutor(self._threads) as pool:
            due = [began + number / self._rate for number in range(len(calls))]
            return list(pool.map(self._at_its_time, calls, due))

    def at_once(self, calls: Sequence[Call]) -> list[Outcome]:
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(lambda call: self._at_its_time(call, time.monotonic()), calls))

    def _at_its_time(self, call: Call, due: float) -> Outcome:
        time.sleep(max(0.0, due - time.monotonic()))
        sent = time.monotonic()
        try:
            response, body = self._ask(call)
        except (OSError, http.client.HTTPException):
            self._local.connection = None
            return Outcome(call, due, time.monotonic() - sent)
        return Outcome(
            call,
            due,
            time.monotonic() - sent,
            status=response.status,
            id=UUID(response.headers["X-Request-ID"]),
            admitted="RateLimit" in response.headers,
            from_cache=b'"from_cache": true' in body,
        )

    def _ask(self, call: Call) -> tuple[http.client.HTTPResponse, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            address = urlsplit(self._site.facts["url"])
            connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
            self._local.connection = connection
        if connection.sock is None:
            _connect(connection)
        connection.request("POST", call.path, body=call.body, headers=dict(call.headers))
        response = connection.getresponse()
        return response, response.read()


def _connect(connection: http.client.HTTPConnection) -> None:
    """Waits while nobody listens: nothing has been sent yet."""
    deadline = time.monotonic() + LISTEN_SECONDS
    while True:
        try:
            return connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def percentile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds; nearest rank."""
    ranked = sorted(seconds)
    return round(ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1000, 1)


def _headers(raw: str) -> dict[str, str]:
    return {"X-API-Key": raw, "Content-Type": "application/json"}


def _body(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode()
