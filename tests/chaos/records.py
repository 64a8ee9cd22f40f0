"""Whether every request that was answered is on record once, whatever is killed meanwhile."""

import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from ragsite import embedded
from tests import site
from tests.chaos.books import Books, balance
from tests.chaos.calls import Business, Call, Traffic, mixture
from tests.site import Site

RATE = 40.0  # requests a second: two cores that also run the clients carry it, with room to catch up after a kill
PAUSES = (0.5, 2.5)  # seconds between two kills, drawn at random
SEED = 20260803
MASTERS = 2  # times that gunicorn itself is killed, when nobody listens for a while
# A victim that stands here twice is hit twice as often. What the supervisor starts again it starts later every time.
_ALL = ("web", "web", "web", "gunicorn", "record", "postgres")

_GUNICORN = "gunicorn"
# What is killed is one process of these, whoever starts it again.
VICTIMS: Mapping[str, Callable[[list[str]], bool]] = {
    "web": lambda words: _GUNICORN in words,
    "gunicorn": lambda words: _GUNICORN in words,  # itself, rather than one of its workers
    "worker": lambda words: "worker" in words,
    "record": lambda words: words[-1:] == ["record"],
    "postgres": lambda words: bool(words) and (words[0].endswith("/bin/postgres") or "postgres:" in words[0]),
    "redis": lambda words: bool(words) and "redis-server" in words[0],
}


def without_redis_killed(requests: int = 2_000) -> dict[str, Any]:
    """Web, worker, recorder and Postgres die at random moments."""
    return complete(requests, victims=(*_ALL, "worker"))


def with_redis_killed(requests: int = 2_000) -> dict[str, Any]:
    """Redis dies as well, and forces every record to disk before it is acknowledged."""
    return complete(requests, victims=(*_ALL, "redis", "redis"))


def with_redis_killed_everysec(requests: int = 2_000) -> dict[str, Any]:
    """The same where Redis forces records to disk once a second: what is lost then is told, and is no fault."""
    return complete(requests, victims=("redis",), appendfsync="everysec", may_lose=True)


def complete(
    requests: int, *, victims: Sequence[str], appendfsync: str = "always", may_lose: bool = False
) -> dict[str, Any]:
    """Sends that many requests, of many kinds and keys, and balances the books; a fault in them is an AssertionError."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), REDIS_APPENDFSYNC=appendfsync) as up,
    ):
        calls = _calls(up, requests)
        traffic = Traffic(up, rate=RATE)
        with killing(up, victims) as killed:
            outcomes = traffic.send(calls)
        books = balance(
            outcomes,
            database=embedded.database_url(up.data_dir, role="postgres"),
            redis=embedded.redis_url(up.data_dir),
        )
    _check(books, may_lose=may_lose)
    return {"killed": dict(killed), "appendfsync": appendfsync, **asdict(books)}


def _check(books: Books, *, may_lose: bool) -> None:
    faults = books.faults()
    if may_lose:
        faults.pop("missing", None)
        faults.pop("no_history", None)
    assert not faults, f"{faults} in {books}"
    assert books.statuses.keys() & {"question 200", "miss 200", "invalid 400", "scope 403", "limited 429"}
    assert not any(status.endswith(" 500") for status in books.statuses), books.statuses


def _calls(up: Site, requests: int) -> list[Call]:
    business, chance = Business(up), random.Random(SEED)
    keys = [business.key() for _ in range(3)]
    narrow, ingest = business.key(rate_limit=6, burst=2), business.key(scopes=["ingest"])
    return [mixture(keys, narrow=narrow, ingest=ingest, chance=chance) for _ in range(requests)]


@contextmanager
def killing(up: Site, victims: Sequence[str]) -> Iterator[Counter[str]]:
    """Kills -9 a process of one of the victims again and again; yields how often each was hit."""
    chance, hits, over = random.Random(SEED), Counter[str](), threading.Event()

    def kill() -> None:
        while not over.wait(chance.uniform(*PAUSES)):
            name = chance.choice(victims)
            found = _processes(up, name)
            if found and not (name == "gunicorn" and hits[name] == MASTERS):
                with suppress(psutil.NoSuchProcess):
                    chance.choice(found).kill()
                    hits[name] += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield hits
    finally:
        over.set()
        killer.join()


def _processes(up: Site, name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(up.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if not VICTIMS[name](process.cmdline()):
                continue
            is_worker = _GUNICORN in process.parent().cmdline()
            if name not in {"web", "gunicorn"} or is_worker == (name == "web"):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)
