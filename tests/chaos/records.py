"""Whether every request that was answered is on record once, whatever is killed meanwhile."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import psutil

from ragsite import embedded
from tests.chaos.books import Books, balance
from tests.chaos.calls import Call, Traffic, mixture, new_key
from tests.chaos.people import Business
from tests.chaos.report import Report, on_its_own_site
from tests.site import Site

RATE = 40.0  # requests a second: two cores that also run the clients carry it, with room to catch up after a kill
PAUSES = (0.5, 2.5)  # seconds between two kills, drawn at random
SEED = 20260803
WHOLE = 2_000
WANTED = {"question 200", "miss 200", "invalid 400", "scope 403", "limited 429", "unknown key 401"}
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


def whole() -> Report:
    """Web, worker, recorder and Postgres die at random moments."""
    return _whole((*_ALL, "worker"))


def whole_redis_killed() -> Report:
    """Redis dies as well, and forces every record to disk before it is acknowledged."""
    return _whole((*_ALL, "redis", "redis"), appendfsync="always")


def whole_redis_unsynced() -> Report:
    """Redis dies as well, and leaves to the kernel when records go to disk, as it does unless it is told otherwise."""
    return _whole((*_ALL, "redis", "redis"))


def whole_redis_everysec() -> Report:
    """Redis alone dies, and forces records to disk once a second: what is lost then is told, and is no fault."""
    return _whole(("redis",), appendfsync="everysec")


def _whole(victims: Sequence[str], *, appendfsync: str = "no") -> Report:
    return on_its_own_site(
        lambda up: complete(up, WHOLE, victims=victims, may_lose=appendfsync == "everysec"),
        REDIS_APPENDFSYNC=appendfsync,
    )


def complete(up: Site, requests: int, *, victims: Sequence[str], may_lose: bool = False) -> Report:
    """Sends that many requests, of many kinds and keys, and balances the books."""
    traffic = Traffic(up, rate=RATE)
    calls = _calls(up, requests)
    with killing(up, victims) as killed:
        outcomes = traffic.send(calls)
    books = balance(
        outcomes,
        database=embedded.database_url(up.data_dir, role="postgres"),
        redis=embedded.redis_url(up.data_dir),
    )
    return Report(
        asked={"requests": requests, "per_second": RATE, **up.settings},
        seen={"killed": dict(killed), **books.figures()},
        faults=_faults(books, killed, may_lose=may_lose),
    )


def _faults(books: Books, killed: Mapping[str, int], *, may_lose: bool) -> list[str]:
    lost = {"missing", "no_history"} if may_lose else set()
    faults = [
        f"{name}: {fault}" for name, found in books.faults().items() if name not in lost for fault in found
    ]
    faults += [f"not seen: {kind}" for kind in sorted(WANTED - books.statuses.keys())]
    faults += [f"{count} of {kind}" for kind, count in books.statuses.items() if kind.endswith(" 500")]
    return faults if killed else [*faults, "nothing was killed"]


def _calls(up: Site, requests: int) -> list[Call]:
    business, chance = Business(up), random.Random(SEED)
    keys = [new_key(business) for _ in range(3)]
    narrow, ingest = new_key(business, rate_limit=6, burst=2), new_key(business, scopes=["ingest"])
    return [mixture(keys, narrow=narrow, ingest=ingest, chance=chance) for _ in range(requests)]


@contextmanager
def killing(up: Site, victims: Sequence[str]) -> Iterator[Counter[str]]:
    """Kills -9 a process of one of the victims again and again; yields how often each was hit."""
    chance, hits, over = random.Random(SEED), Counter[str](), threading.Event()

    def kill() -> None:
        while not over.wait(chance.uniform(*PAUSES)):
            name = chance.choice(victims)
            found = processes_of(up, name)
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


def processes_of(up: Site, name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(up.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if not VICTIMS[name](process.cmdline()):
                continue
            is_worker = _GUNICORN in process.parent().cmdline()
            if name not in {"web", "gunicorn"} or is_worker == (name == "web"):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)
