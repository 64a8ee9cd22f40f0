"""What a site's callers notice of a Redis that is killed, stopped or slow for a while: next to nothing."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from ragsite import embedded
from ragsite.embedded.places import redis_socket
from tests import site
from tests.chaos.books import STREAM, balance
from tests.chaos.slow_redis import slowed
from tests.chaos.traffic import Business, Call, Key, Outcome, Traffic, percentile, stranger
from tests.site import Site

RATE = 40.0  # requests a second; without its cache the site answers each anew, on two cores that run the clients too
SLOW_SECONDS = 0.2
ALLOWED_MS = 150.0  # by which the slowest hundredth may be slower
RECOVERY_SECONDS = 5.0
REVOKED_SECONDS = 1.0  # a revocation holds everywhere after this
BURST = 10
QUESTIONS = [f"How do I rotate an API key, and how {word}?" for word in ("soon", "often", "late", "quickly")]


@dataclass(frozen=True)
class Server:
    """A Redis of the test's own, and what is done to it."""

    url: str
    begin: Callable[[], None]
    end: Callable[[], None]


def killed(seconds: float = 30.0) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, _own_server(Path(folder)) as server:
        return outage(server, seconds)


def stopped(seconds: float = 30.0) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        where = embedded.Redis(Path(folder))
        process = embedded.start(where, log=Path(folder) / "redis.log")
        try:
            server = Server(
                embedded.redis_url(Path(folder)),
                lambda: os.kill(process.pid, signal.SIGSTOP),
                lambda: os.kill(process.pid, signal.SIGCONT),
            )
            return outage(server, seconds)
        finally:
            os.kill(process.pid, signal.SIGCONT)
            embedded.stop(where, process)


def slow(seconds: float = 30.0) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        where, socket = embedded.Redis(Path(folder)), Path(folder) / "slow.sock"
        process = embedded.start(where, log=Path(folder) / "redis.log")
        try:
            with slowed(redis_socket(Path(folder)), listening=socket) as delay:
                site.wait_for(socket.exists)

                def set_delay(value: float) -> None:
                    delay.value = value

                return outage(
                    Server(f"unix://{socket}?db=0", lambda: set_delay(SLOW_SECONDS), lambda: set_delay(0.0)),
                    seconds,
                )
        finally:
            embedded.stop(where, process)


@contextmanager
def _own_server(folder: Path) -> Iterator[Server]:
    """One that is killed with SIGKILL, and started again with what its append-only file has."""
    where = embedded.Redis(folder)
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        running.append(embedded.start(where, log=folder / "redis.log"))

    def kill() -> None:
        running[-1].kill()
        running[-1].wait()

    start()
    try:
        yield Server(embedded.redis_url(folder), kill, start)
    finally:
        embedded.stop(where, running[-1])


def outage(server: Server, seconds: float) -> dict[str, Any]:
    """Traffic before, during and after; an AssertionError tells what a caller noticed."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), REDIS_URL=server.url) as up,
    ):
        return _watch(up, server, seconds)


def _watch(up: Site, server: Server, seconds: float) -> dict[str, Any]:
    business, traffic = Business(up), Traffic(up, rate=RATE)
    keys, revoked, doomed = [business.key() for _ in range(3)], business.key(), business.key()
    business.revoke(revoked)
    calls = _calls(keys, revoked, count=int(seconds * RATE))
    traffic.send(calls)  # so that the cache knows every question, and the site is warm
    before = traffic.send(calls)
    kept = traffic.at_once([doomed.asking(QUESTIONS[0])])  # Redis has a copy of this key from here on
    server.begin()
    with _meanwhile(lambda: _revoke_and_upload(up, business, doomed, after=seconds / 3)) as done:
        during = traffic.send(calls)
    returned = time.monotonic()
    server.end()
    back = traffic.send([*calls[: int(RECOVERY_SECONDS * RATE)]])
    of_doomed = traffic.send([doomed.asking(QUESTIONS[0])] * 10)
    after = traffic.send(calls)
    limited = _limited(business, traffic)
    everything = [*before, *during, *back, *after]
    _check_answers(everything)
    assert {outcome.status for outcome in of_doomed} == {401}, "a key that was revoked is alive again"
    report = {name: _figures(sent) for name, sent in (("before", before), ("during", during), ("after", after))}
    assert report["during"]["p99_ms"] <= report["before"]["p99_ms"] + ALLOWED_MS, report
    assert all(outcome.from_cache for outcome in after if outcome.status == 200), "the cache is not back"
    assert limited == Counter({200: BURST, 429: 2 * BURST}), limited
    with Redis.from_url(server.url) as redis:
        last: Any = redis.xinfo_stream(STREAM)["last-generated-id"]
    assert time.time() - int(last.split(b"-")[0]) / 1000 < 60, "no record went to the stream since"
    with up.client() as client:
        assert site.finished(client, done[0])["status"] == "ready"
    ready_after = time.monotonic() - returned
    return report | {"limited": dict(limited), "ready_after_s": round(ready_after, 1)}


def _calls(keys: Sequence[Key], revoked: Key, *, count: int) -> list[Call]:
    """Of ten, eight are questions, one comes from an unknown and one from a revoked key."""
    sorts = [stranger(), stranger(revoked.raw, kind="revoked key")]
    return [
        sorts[n % 10]
        if n % 10 < len(sorts)
        else keys[n % len(keys)].asking(QUESTIONS[n % len(QUESTIONS)])
        for n in range(count)
    ]


@contextmanager
def _meanwhile(work: Callable[[], str]) -> Iterator[list[str]]:
    """Runs `work` beside the block; what it returned is there after the block."""
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    yield results
    thread.join()


def _revoke_and_upload(up: Site, business: Business, key: Key, *, after: float) -> str:
    time.sleep(after)
    business.revoke(key)
    with up.client() as client:
        sent = client.post("/api/documents", files={"file": ("outage.txt", b"What came in during an outage.")})
        assert sent.status_code == 202, sent.text
        document: str = sent.json()["id"]
        return document


def _limited(business: Business, traffic: Traffic) -> Counter[int | None]:
    """What a key of a burst of ten gets that asks thirty times at once."""
    narrow = business.key(rate_limit=1, burst=BURST)
    sent = traffic.at_once([narrow.asking(QUESTIONS[0])] * (3 * BURST))
    return Counter(outcome.status for outcome in sent)


def _check_answers(outcomes: Sequence[Outcome]) -> None:
    wanted = {"question": 200, "unknown key": 401, "revoked key": 401}
    strange = Counter(
        f"{outcome.call.kind} {outcome.status}"
        for outcome in outcomes
        if outcome.status != wanted[outcome.call.kind]
    )
    assert not strange, strange


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    asked = [outcome for outcome in outcomes if outcome.status == 200]
    seconds = [outcome.seconds for outcome in asked]
    return {
        "answers": len(asked),
        "from_cache": sum(outcome.from_cache for outcome in asked),
        "p50_ms": percentile(seconds, 0.5),
        "p99_ms": percentile(seconds, 0.99),
        "max_ms": percentile(seconds, 1.0),
    }
