"""Clients that ask one question over connections that they keep, and note when they asked and what they were told."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from tests import site
from tests.site import Site

QUESTION = "How do I rotate an API key?"
_BODY = json.dumps({"question": QUESTION}).encode()
LISTEN_SECONDS = 30.0
_IDLE_SECONDS = 10.0  # less than the server keeps a silent connection
_ATTEMPTS = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """Times in seconds of the epoch, by this machine's clock; names of headers in small letters."""

    raw: str = field(repr=False)  # the key that asked
    status: int
    headers: Mapping[str, str]
    sent: float
    received: float


class Client:
    """One connection. Who asks is told at each request, so that any connection can carry any key."""

    def __init__(self, up: Site) -> None:
        address = urlsplit(up.facts["url"])
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        self._last = 0.0

    def ask(self, raw: str) -> Answer:
        """Asks a question whose answer is in the cache after the first time."""
        sent = time.time()
        response, _ = self.send("POST", "/api/query", body=_BODY, headers=carrying(raw))
        told = {name.lower(): value for name, value in response.getheaders()}
        return Answer(raw, response.status, told, sent, self._last)

    def send(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Raises OSError or HTTPException for what is not answered; what is sent next has a connection of its own."""
        if time.time() - self._last > _IDLE_SECONDS:
            self._connection.close()
        if self._connection.sock is None:
            self.connect()
        try:
            self._connection.request(method, path, body=body, headers=dict(headers))
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        self._last = time.time()
        return response, content

    def connect(self) -> int:
        """The port that the connection comes from; from here on it stays with one web process.

        Waits while nobody listens: nothing has been sent yet.
        """
        deadline = time.monotonic() + LISTEN_SECONDS
        while self._connection.sock is None:
            try:
                self._connection.connect()
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self._last = time.time()
        return int(self._connection.sock.getsockname()[1])

    def close(self) -> None:
        self._connection.close()


def carrying(raw: str) -> dict[str, str]:
    """The headers of a key's request."""
    return {"X-API-Key": raw, "Content-Type": "application/json"}


def warm_up(up: Site, raw: str) -> None:
    """Puts the one answer that everybody asks for into the cache."""
    client = Client(up)
    client.ask(raw)
    client.close()


def paced(
    client: Client, key: Callable[[], str], *, per_second: float, stopped: Callable[[], bool]
) -> list[Answer]:
    """Asks at an even pace until it is stopped. Turns that a slow answer took are left out, not made up for."""
    answers: list[Answer] = []
    due = time.monotonic()
    while not stopped():
        answers.append(client.ask(key()))
        due = max(due + 1 / per_second, time.monotonic() - 1 / per_second)
        time.sleep(max(0.0, due - time.monotonic()))
    return answers


def to_each_worker(up: Site, *, count: int) -> list[list[Client]]:
    """`count` times a connection to each of the web processes; raises RuntimeError when one of them takes none."""
    workers = web_workers(up)
    found: dict[int, list[Client]] = {worker.pid: [] for worker in workers}
    for _ in range(_ATTEMPTS):
        if all(len(clients) >= count for clients in found.values()):
            return [list(pair) for pair in zip(*(clients[:count] for clients in found.values()), strict=True)]
        client = Client(up)
        port = client.connect()
        found[_holder(workers, port)].append(client)
    raise RuntimeError("A web process takes no connections.")


def web_workers(up: Site) -> list[psutil.Process]:
    """gunicorn's workers: the processes of its name whose parent is one too."""
    everyone = up.children("gunicorn")
    masters = {process.pid for process in everyone}
    return [process for process in everyone if process.ppid() in masters]


def _holder(workers: list[psutil.Process], port: int) -> int:
    """The process that has taken a connection from our `port`."""

    def look() -> int | None:
        for worker in workers:
            if any(held.raddr and held.raddr.port == port for held in worker.net_connections("tcp")):
                return int(worker.pid)
        return None

    pid: int = site.wait_for(look, seconds=10)
    return pid


def statuses(answers: Iterable[Answer]) -> dict[int, int]:
    return dict(sorted(Counter(answer.status for answer in answers).items()))
