"""What a site's callers notice of a Redis that is killed, stopped or slow for a while: next to nothing."""

import itertools
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis

from ragsite import embedded
from ragsite.embedded.places import redis_socket
from tests import site
from tests.chaos.books import STREAM, balance
from tests.chaos.calls import Business, Call, Outcome, Traffic, percentile, stranger
from tests.chaos.slow_redis import slowed
from tests.site import Site

RATE = 40.0  # requests a second; without its cache the site answers each anew, on two cores that run the clients too
SLOW_SECONDS = 0.2
ALLOWED_MS = 150.0  # by which the slowest hundredth may be slower
RECOVERY_SECONDS = 5.0
BURST = 10
QUESTIONS = [f"How do I rotate an API key, and how {word}?" for word in ("soon", "often", "late", "quickly")]


@dataclass(frozen=True)
class Plan:
    """How long Redis is away, how many requests come a second, and how many milliseconds their p99 may rise."""

    seconds: float = 30.0
    rate: float = RATE
    allowed_ms: float = ALLOWED_MS


WHOLE = Plan()


@dataclass(frozen=True)
class Server:
    """A Redis of the test's own, and what is done to it."""

    url: str
    begin: Callable[[], None]
    end: Callable[[], None]


def killed(plan: Plan = WHOLE) -> dict[str, Any]:
    """Killed with SIGKILL, and started again with what its append-only file has."""
    with _redis() as (folder, start, process):

        def kill() -> None:
            process().kill()
            process().wait()

        return outage(Server(embedded.redis_url(folder), kill, start), plan)


def stopped(plan: Plan = WHOLE) -> dict[str, Any]:
    """It takes connections and commands, and answers none."""
    with _redis() as (folder, _, process):

        def send(number: signal.Signals) -> None:
            process().send_signal(number)

        server = Server(
            embedded.redis_url(folder), partial(send, signal.SIGSTOP), partial(send, signal.SIGCONT)
        )
        return outage(server, plan)


def slow(plan: Plan = WHOLE) -> dict[str, Any]:
    """It answers everything, and too late."""
    with _redis() as (folder, _, _), slowed(redis_socket(folder), listening=folder / "slow.sock") as delay:
        site.wait_for((folder / "slow.sock").exists)

        def late_by(moment: float) -> None:
            delay.value = moment

        url = f"unix://{folder / 'slow.sock'}?db=0"
        return outage(Server(url, partial(late_by, SLOW_SECONDS), partial(late_by, 0.0)), plan)


@contextmanager
def _redis() -> Iterator[tuple[Path, Callable[[], None], Callable[[], subprocess.Popen[bytes]]]]:
    """A running server's folder, what starts it again, and what tells its process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        where = embedded.Redis(folder)
        running: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            running.append(embedded.start(where, log=folder / "redis.log"))

        start()
        try:
            yield folder, start, lambda: running[-1]
        finally:
            running[-1].send_signal(signal.SIGCONT)  # does nothing to one that has ended
            embedded.stop(where, running[-1])


def outage(server: Server, plan: Plan) -> dict[str, Any]:
    """Traffic before, during and after; an AssertionError tells what a caller noticed."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), REDIS_URL=server.url) as up,
    ):
        return _Watch(up, server, plan).run()


class _Watch:
    """One site through one outage."""

    def __init__(self, up: Site, server: Server, plan: Plan) -> None:
        self.up, self.server = up, server
        self.seconds, self.rate, self.allowed_ms = plan.seconds, plan.rate, plan.allowed_ms
        self.business, self.traffic = Business(up), Traffic(up, rate=plan.rate)
        self.keys = [self.business.key() for _ in range(3)]
        self.steady = self.business.key(rate_limit=60, burst=3)
        self.revoked, self.doomed = self.business.key(), self.business.key()
        self.business.revoke(self.revoked)
        self.number = itertools.count()

    def run(self) -> dict[str, Any]:
        warming = self._send(self.seconds / 3)  # the site, and its cache
        before = self._send(self.seconds)
        uncached = self._send(self.seconds, use_cache=False)
        [alive] = self.traffic.at_once([self.doomed.asking(QUESTIONS[0])])  # Redis has a copy of this key now
        assert alive.status == 200
        self.server.begin()
        with _meanwhile(lambda: self._revoke_and_upload(after=self.seconds / 3)) as uploaded:
            during = self._send(self.seconds)
        returned = time.monotonic()
        self.server.end()
        back = self._send(RECOVERY_SECONDS)
        normal = self._back_to_normal(back, returned)
        after = self._send(self.seconds / 3)
        sent = {"warming": warming, "before": before, "uncached": uncached}
        sent |= {"during": during, "back": back, "after": after}
        _check_answers([outcome for phase in sent.values() for outcome in phase])
        report = {name: _figures(phase) for name, phase in sent.items()}
        # Without Redis there is no cache, and what answers cost that are made anew is not the outage's doing.
        over = round(report["during"]["p99_ms"] - report["uncached"]["p99_ms"], 1)
        assert over <= self.allowed_ms, report
        report["p99_over_uncached_ms"] = over
        with self.up.client() as client:
            assert site.finished(client, uploaded[0])["status"] == "ready"
        ready = round(time.monotonic() - returned, 1)
        return (
            report
            | normal
            | {"upload_ready_s": ready}
            | self._balance([alive, *itertools.chain(*sent.values())])
        )

    def _send(self, seconds: float, **more: Any) -> list[Outcome]:
        numbers = itertools.islice(self.number, int(seconds * self.rate))
        return self.traffic.send([self._call(number, **more) for number in numbers])

    def _call(self, number: int, **more: Any) -> Call:
        """Of ten, four are known questions and four new ones; one is a stranger's, and one comes of a revoked key."""
        if number % int(self.rate) == 0:
            return self.steady.asking(QUESTIONS[0], kind="steady")
        if number % 10 == 1:
            return stranger()
        if number % 10 == 2:
            return stranger(self.revoked.raw, kind="revoked key")
        key, question = self.keys[number % len(self.keys)], QUESTIONS[number % len(QUESTIONS)]
        if number % 2:
            return key.asking(question, **more)
        return key.asking(f"{question} {number}", kind="new question", **more)

    def _revoke_and_upload(self, *, after: float) -> str:
        time.sleep(after)
        self.business.revoke(self.doomed)
        content = b"What came in while Redis was away is worked on when it is back."
        with self.up.client() as client:
            sent = client.post("/api/documents", files={"file": ("outage.txt", content)})
        assert sent.status_code == 202, sent.text
        document: str = sent.json()["id"]
        return document

    def _back_to_normal(self, back: Sequence[Outcome], returned: float) -> dict[str, Any]:
        """All within RECOVERY_SECONDS, which have passed by now."""
        hits = [outcome.due for outcome in back if outcome.from_cache]
        assert hits, "nothing came from the cache again"
        of_doomed = self.traffic.at_once([self.doomed.asking(QUESTIONS[0])] * 10)
        assert {outcome.status for outcome in of_doomed} == {401}, "a revoked key came alive again"
        narrow = self.business.key(rate_limit=1, burst=BURST)
        many = self.traffic.at_once([narrow.asking(QUESTIONS[0])] * (3 * BURST))
        limited = Counter(outcome.status for outcome in many)
        assert limited == Counter({200: BURST, 429: 2 * BURST}), limited
        with Redis.from_url(self.server.url) as redis:
            stream: Any = redis.xinfo_stream(STREAM)
        age = time.time() - int(stream["last-generated-id"].split(b"-")[0]) / 1000
        assert age < 1, f"no record has gone to the stream for {age:.1f} s"
        return {"first_hit_s": round(min(hits) - returned, 1), "admitted_of_30": limited[200]}

    def _balance(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        used_otherwise = {self.doomed.id, self.steady.id}
        books = balance(
            [outcome for outcome in outcomes if outcome.call.key not in used_otherwise],
            database=embedded.database_url(self.up.data_dir, role="postgres"),
            redis=self.server.url,
        )
        assert not books.faults(), books.faults()
        return {"answered": books.answered, "unanswered": books.unanswered, "statuses": books.statuses}


@contextmanager
def _meanwhile(work: Callable[[], str]) -> Iterator[list[str]]:
    """Runs `work` beside the block; what it returned is there after the block."""
    with ThreadPoolExecutor(1) as pool:
        future, results = pool.submit(work), list[str]()
        yield results
        results.append(future.result())


def _check_answers(outcomes: Sequence[Outcome]) -> None:
    wanted = {"unknown key": 401, "revoked key": 401}
    strange = Counter(
        f"{outcome.call.kind} {outcome.status}"
        for outcome in outcomes
        if outcome.status != wanted.get(outcome.call.kind, 200)
    )
    assert not strange, strange


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    answers = [outcome for outcome in outcomes if outcome.status == 200]
    seconds = [outcome.seconds for outcome in answers]
    return {
        "answers": len(answers),
        "from_cache": sum(outcome.from_cache for outcome in answers),
        "p50_ms": percentile(seconds, 0.5),
        "p99_ms": percentile(seconds, 0.99),
        "max_ms": percentile(seconds, 1.0),
    }
