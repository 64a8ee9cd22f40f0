"""Requests of many kinds at a steady rate, and what became of each."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.chaos.people import Business
from tests.chaos.traffic import Client, carrying
from tests.site import Site

QUERY = "/api/query"
UNLIMITED = {"rate_limit": 1_000_000, "burst": 1_000_000}
_UNKNOWN_KEY = "rag_" + "0" * 32
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
    body: bytes | None
    headers: Mapping[str, str]
    key: UUID | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a call: `status` and `id` are None when no answer was received. Times in seconds.

    `seconds`: since it was due, so that what waited for a free connection is not told to be quick.
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
        return Call(kind, QUERY, _body({"question": question, **more}), carrying(self.raw), self.id)

    def getting(self, path: str, *, kind: str) -> Call:
        return Call(kind, path, None, carrying(self.raw), self.id)


def new_key(business: Business, **wanted: Any) -> Key:
    """One without a limit that counts, unless another is wanted."""
    key_id, raw = business.mint(**(UNLIMITED | wanted))
    return Key(UUID(key_id), raw)


def mixture(keys: Sequence[Key], *, narrow: Key, ingest: Key, chance: random.Random) -> Call:
    """Hits, misses, bad requests, refusals and strangers. `narrow` is soon limited; `ingest` may not ask."""
    key = chance.choice(keys)
    makers: Sequence[tuple[int, Callable[[], Call]]] = (
        (55, lambda: key.asking(chance.choice(_QUESTIONS))),
        (15, lambda: key.asking(f"{chance.choice(_QUESTIONS)} {chance.getrandbits(48):x}", kind="miss")),
        (5, lambda: key.asking("", kind="invalid")),
        (5, lambda: Call("malformed", QUERY, b'{"question":', carrying(key.raw), key.id)),
        (5, lambda: key.asking(_QUESTIONS[0], kind="no collection", collection="nowhere")),
        (5, lambda: narrow.asking(_QUESTIONS[0], kind="limited")),
        (5, lambda: ingest.asking(_QUESTIONS[0], kind="scope")),
        (5, stranger),
    )
    [make] = chance.choices([make for _, make in makers], [weight for weight, _ in makers])
    return make()


def stranger(raw: str = _UNKNOWN_KEY, *, kind: str = "unknown key") -> Call:
    return Call(kind, QUERY, _body({"question": _QUESTIONS[0]}), carrying(raw))


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
        try:
            response, body = self._client().send(
                "GET" if call.body is None else "POST", call.path, body=call.body, headers=call.headers
            )
        except (OSError, http.client.HTTPException):
            return Outcome(call, due, time.monotonic() - due)
        return Outcome(
            call,
            due,
            time.monotonic() - due,
            status=response.status,
            id=UUID(response.headers["X-Request-ID"]),
            admitted="RateLimit" in response.headers,
            from_cache=b'"from_cache":true' in body,
        )

    def _client(self) -> Client:
        """This thread's own."""
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = Client(self._site)
        return client


def percentile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds; nearest rank."""
    ranked = sorted(seconds)
    return round(ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1000, 1)


def _body(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode()
