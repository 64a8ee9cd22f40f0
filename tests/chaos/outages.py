"""What a site's callers notice of a Redis that is killed, stopped or slow for a while: next to nothing."""

import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from ragsite import embedded
from tests import site
from tests.chaos import redis_server
from tests.chaos.books import STREAM, balance
from tests.chaos.calls import QUERY, Call, Outcome, Traffic, new_key, percentile, stranger
from tests.chaos.people import Business
from tests.chaos.redis_server import KILLED, SLOW, STOPPED, Server, Way
from tests.chaos.report import Report
from tests.site import Site

BURST = 10
QUESTIONS = [f"How do I rotate an API key, and how {word}?" for word in ("soon", "often", "late", "quickly")]
LIST = "/api/documents?limit=1"
# Of twenty requests. Without Redis a question costs 25 to 30 ms of processor time, any other 6 to 12, clients and Postgres
# included: two cores carry a hundred requests a second of this mixture in either state.
MIXTURE = (
    *("known question", "new question"),
    *("unknown key", "revoked key") * 2,
    *("documents",) * 14,
)
_WANTED = {"unknown key": 401, "revoked key": 401}


@dataclass(frozen=True)
class Plan:
    """How long Redis is away, how soon all is well again, requests a second, and milliseconds that their p99 may rise."""

    seconds: float = 30.0
    back_seconds: float = 5.0
    rate: float = 100.0
    allowed_ms: float = 150.0


WHOLE = Plan()


def whole_killed() -> Report:
    return _whole(KILLED)


def whole_stopped() -> Report:
    return _whole(STOPPED)


def whole_slow() -> Report:
    return _whole(SLOW)


def _whole(way: Way) -> Report:
    with behind_its_own_redis(proxied=way is SLOW) as (up, server):
        return outage(up, server, way, plan=WHOLE)


@contextmanager
def behind_its_own_redis(*, proxied: bool) -> Iterator[tuple[Site, Server]]:
    with (
        tempfile.TemporaryDirectory() as below,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        redis_server.running(Path(below)) as server,
        site.running(Path(folder), REDIS_URL=server.url if proxied else server.direct) as up,
    ):
        yield up, server


def outage(up: Site, server: Server, way: Way, *, plan: Plan) -> Report:
    """Traffic before, during and after."""
    return _Watch(up, server, plan).through(way)


class _Watch:
    """One site through one outage."""

    def __init__(self, up: Site, server: Server, plan: Plan) -> None:
        self.up, self.server, self.plan = up, server, plan
        self.business, self.traffic = Business(up), Traffic(up, rate=plan.rate)
        scopes = ["query", "ingest"]
        self.keys = [new_key(self.business, scopes=scopes) for _ in range(3)]
        self.steady = new_key(self.business, scopes=scopes, rate_limit=60, burst=3)
        self.revoked, self.doomed = new_key(self.business), new_key(self.business)
        self.business.revoke(str(self.revoked.id))
        self.number = itertools.count()
        self.faults: list[str] = []

    def through(self, way: Way) -> Report:
        third = self.plan.seconds / 3
        phases = {"warming": self._send(third), "before": self._send(self.plan.seconds)}
        self._ask_doomed(times=1, wanted=200)  # Redis has a copy of this key now
        way.begin(self.server)
        with _meanwhile(lambda: self._revoke_and_upload(after=third)) as uploaded:
            phases["during"] = self._send(self.plan.seconds)
        returned = time.monotonic()
        way.end(self.server)
        phases["back"] = self._send(self.plan.back_seconds)
        normal = self._back_to_normal(phases["back"], returned)
        normal |= self._ready(uploaded[0], returned)
        phases["after"] = self._send(third)
        return self._report(phases, normal)

    def _send(self, seconds: float) -> list[Outcome]:
        numbers = itertools.islice(self.number, int(seconds * self.plan.rate))
        return self.traffic.send([self._call(number) for number in numbers])

    def _call(self, number: int) -> Call:
        """Once a second one of a key that is limited to as many; else as `MIXTURE` says."""
        if number % int(self.plan.rate) == 0:
            return self.steady.getting(LIST, kind="limited key")
        kind, key = MIXTURE[number % len(MIXTURE)], self.keys[number % len(self.keys)]
        question = QUESTIONS[number // len(MIXTURE) % len(QUESTIONS)]
        calls: dict[str, Callable[[], Call]] = {
            "documents": lambda: key.getting(LIST, kind=kind),
            "known question": lambda: key.asking(question, kind=kind),
            "new question": lambda: key.asking(f"{question} {number}", kind=kind),
            "unknown key": stranger,
            "revoked key": lambda: stranger(self.revoked.raw, kind=kind),
        }
        return calls[kind]()

    def _ask_doomed(self, *, times: int, wanted: int) -> None:
        outcomes = self.traffic.at_once([self.doomed.asking(QUESTIONS[0])] * times)
        seen = Counter(outcome.status for outcome in outcomes)
        self._expect(seen == Counter({wanted: times}), f"a key to be answered {wanted} got {dict(seen)}")

    def _revoke_and_upload(self, *, after: float) -> str:
        time.sleep(after)
        self.business.revoke(str(self.doomed.id))
        content = f"What came in while Redis was away ({time.time()}) is worked on when it is back."
        with self.up.client() as client:
            sent = client.post("/api/documents", files={"file": ("outage.txt", content.encode())})
        assert sent.status_code == 202, sent.text
        document: str = sent.json()["id"]
        return document

    def _back_to_normal(self, back: Sequence[Outcome], returned: float) -> dict[str, Any]:
        """`back_seconds` have passed by now."""
        hits = [outcome.due for outcome in back if outcome.from_cache]
        self._expect(bool(hits), f"nothing came from the cache for {self.plan.back_seconds} s")
        self._ask_doomed(times=10, wanted=401)
        narrow = new_key(self.business, rate_limit=1, burst=BURST)
        many = self.traffic.at_once([narrow.asking(QUESTIONS[0])] * (3 * BURST))
        admitted = sum(outcome.status == 200 for outcome in many)
        self._expect(admitted == BURST, f"{admitted} admitted to a bucket of {BURST}")
        with Redis.from_url(self.server.direct) as redis:
            stream: Any = redis.xinfo_stream(STREAM)
        age = time.time() - int(stream["last-generated-id"].split(b"-")[0]) / 1000
        self._expect(age < 1, f"no record has gone to the stream for {age:.1f} s")
        first = round(min(hits) - returned, 1) if hits else None
        return {"first_hit_s": first, "admitted_of_30": admitted}

    def _ready(self, document: str, returned: float) -> dict[str, Any]:
        with self.up.client() as client:
            status = site.finished(client, document)["status"]
        self._expect(status == "ready", f"what was uploaded meanwhile is {status}")
        return {"upload_ready_s": round(time.monotonic() - returned, 1)}

    def _report(self, phases: dict[str, list[Outcome]], more: dict[str, Any]) -> Report:
        sent = [outcome for phase in phases.values() for outcome in phase]
        self.faults += _strange(sent)
        figures = {name: _figures(phase) for name, phase in phases.items()}
        rise = round(figures["during"]["p99_ms"] - figures["before"]["p99_ms"], 1)
        self._expect(rise <= self.plan.allowed_ms, f"the p99 rose by {rise} ms")
        self._expect(not figures["during"]["from_cache"], "there was a cache meanwhile")
        return Report(
            asked={
                "seconds": self.plan.seconds,
                "per_second": self.plan.rate,
                "of_twenty": dict(Counter(MIXTURE)),
            },
            seen=figures | {"p99_rise_ms": rise} | more | self._balance(sent),
            faults=self.faults,
        )

    def _balance(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        books = balance(
            outcomes,
            database=embedded.database_url(self.up.data_dir, role="postgres"),
            redis=self.server.direct,
        )
        self.faults += [f"{name}: {fault}" for name, found in books.faults().items() for fault in found]
        return {"answered": books.answered, "unanswered": books.unanswered, "statuses": books.statuses}

    def _expect(self, holds: bool, fault: str) -> None:  # noqa: FBT001  what is expected, said as an assertion says it
        if not holds:
            self.faults.append(fault)


@contextmanager
def _meanwhile(work: Callable[[], str]) -> Iterator[list[str]]:
    """Runs `work` beside the block; what it returned is there after the block."""
    with ThreadPoolExecutor(1) as pool:
        future, results = pool.submit(work), list[str]()
        yield results
        results.append(future.result())


def _strange(outcomes: Sequence[Outcome]) -> list[str]:
    """Every request is answered, and none is refused that would be with Redis at hand."""
    seen = Counter((outcome.call.kind, outcome.status) for outcome in outcomes)
    return [
        f"{count} of {kind} were answered {status}"
        for (kind, status), count in seen.items()
        if status != _WANTED.get(kind, 200)
    ]


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Times of answers of any kind, and of questions apart; `per_second`: at which rate they came."""
    seconds = [outcome.seconds for outcome in outcomes]
    questions = [
        outcome.seconds for outcome in outcomes if outcome.call.path == QUERY and outcome.status == 200
    ]
    span = max(o.due + o.seconds for o in outcomes) - min(o.due for o in outcomes)
    return {
        "answers": len(outcomes),
        "per_second": round(len(outcomes) / span, 1),
        "from_cache": sum(outcome.from_cache for outcome in outcomes),
        "p50_ms": percentile(seconds, 0.5),
        "p99_ms": percentile(seconds, 0.99),
        "max_ms": percentile(seconds, 1.0),
        "questions_p50_ms": percentile(questions, 0.5),
        "questions_p99_ms": percentile(questions, 0.99),
    }
