"""What a site's callers notice of a model that fails, in every way: documented errors in time, and else nothing.

For each fault the model is well for a while and faulty for a while, in turns, under the same questions at the same pace,
whole and streamed. Beside them come requests that need no model: how long those take is told as a ratio of the turns.
The breaker is as good as off, for it would end each fault after five questions.
"""

import http.client
import json
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

from redis import Redis

from ragsite import embedded
from tests import site
from tests.chaos.calls import QUERY, Call, Traffic, new_key, percentile
from tests.chaos.people import Business
from tests.chaos.report import Report
from tests.chaos.traffic import Client
from tests.model_server import Behaviour, ModelServer
from tests.site import Site

QUESTION = "How do I rotate an API key?"
ASKERS = 4  # of the site's 16 threads
_BETWEEN_SECONDS = 1.0  # an asker's questions
_WORDS = "word " * 60
_WELL = Behaviour(reply="By rotating it [1].")
# A fault, and the documented answers to it: status and code.
FAULTS: dict[str, tuple[Behaviour | None, set[tuple[int, str]]]] = {
    "refused": (None, {(503, "unavailable")}),
    "hung": (Behaviour(fault="hang"), {(504, "model_timeout")}),
    "a byte a second": (Behaviour(reply=_WORDS, drip=1.0), {(504, "model_timeout")}),
    "reset": (Behaviour(reply=_WORDS, fault="reset"), {(503, "unavailable"), (502, "model_failed")}),
    "429": (Behaviour(status=429), {(503, "unavailable")}),
    "429, Retry-After 1": (Behaviour(status=429, retry_after="1"), {(503, "unavailable")}),
    "429, Retry-After 60": (Behaviour(status=429, retry_after="60"), {(503, "unavailable")}),
    "500": (Behaviour(status=500), {(502, "model_failed")}),
    "invalid JSON": (Behaviour(fault="invalid_json"), {(502, "model_failed")}),
    "empty": (Behaviour(fault="empty"), {(502, "model_failed")}),
    "10 MB": (Behaviour(fault="huge"), {(502, "model_failed")}),
}
_STREAMS_WELL = {"invalid JSON"}  # a stream has no whole that could be none


@dataclass(frozen=True)
class Plan:
    """Seconds of a turn, how many turns there are of each kind, and what is allowed."""

    faults: Sequence[str] = tuple(FAULTS)
    seconds: float = 8.0
    turns: int = 3
    rate: float = 20.0  # requests a second that need no model
    ratio: float = 1.25
    longest_seconds: float = 32.0


@dataclass
class _Turn:
    """What was seen: seconds of requests that need no model; seconds and outcomes of questions."""

    others: list[float] = field(default_factory=list)
    others_failed: int = 0
    questions: list[float] = field(default_factory=list)
    told: Counter[tuple[int, str]] = field(default_factory=Counter)


def whole() -> Report:
    return on_its_own_site(Plan())


class _OwnProcess(BaseManager):
    """Keeps the model's server in a process of its own: what it sends must not slow down whoever measures."""


_OwnProcess.register("ModelServer", ModelServer, exposed=("reset", "start", "stop"))


def on_its_own_site(plan: Plan) -> Report:
    port = site.free_port()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        _OwnProcess(ctx=get_context("spawn")) as models,
        site.running(
            Path(folder),
            ANSWER_PROVIDER="openai",
            ANSWER_BASE_URL=f"http://127.0.0.1:{port}/v1",
            ANSWER_API_KEY="sk-chaos",
            ANSWER_BREAKER_FAILURES="1000000",
        ) as up,
    ):
        start = partial(models.ModelServer, port=port, default=_WELL)  # type: ignore[attr-defined]  # registered
        return _Watch(up, start, plan).through()


class _Watch:
    """One site and its model, through every fault."""

    def __init__(self, up: Site, new_model: Callable[[], ModelServer], plan: Plan) -> None:
        self.up, self.plan = up, plan
        self.new_model, self.model = new_model, new_model()
        self.model.start()
        self.key = new_key(Business(up))
        self.traffic = Traffic(up, rate=plan.rate, threads=4)
        self.faults: list[str] = []

    def through(self) -> Report:
        self.traffic.at_once([self.key.asking(QUESTION)])  # one answer that is cached from now on
        self._turn()
        try:
            seen = {name: self._fault(name) for name in self.plan.faults}
        finally:
            self.model.stop()
        return Report(
            asked={"turns": self.plan.turns, "seconds": self.plan.seconds, "askers": ASKERS},
            seen=seen,
            faults=self.faults,
        )

    def _fault(self, name: str) -> dict[str, Any]:
        behaviour, wanted = FAULTS[name]
        well, faulty = [], []
        for _ in range(self.plan.turns):
            well.append(self._turn())
            with self._failing(behaviour):
                faulty.append(self._turn())
            self._forget_circuits()
        told = sum((turn.told for turn in faulty), Counter[tuple[int, str]]())
        longest = max(seconds for turn in faulty for seconds in turn.questions)
        pairs = zip(faulty, well, strict=True)
        ratio = statistics.median(_median(bad.others) / _median(good.others) for bad, good in pairs)
        self._judge(name, [*well, *faulty], told=told, longest=longest, ratio=ratio, wanted=wanted)
        return {
            "ratio": round(ratio, 2),
            "p50_ms": percentile([seconds for turn in faulty for seconds in turn.others], 0.5),
            "longest_s": round(longest, 1),
            "told": {f"{status} {code}".strip(): count for (status, code), count in told.items()},
        }

    def _judge(
        self,
        name: str,
        turns: Sequence[_Turn],
        *,
        told: Counter[tuple[int, str]],
        longest: float,
        ratio: float,
        wanted: set[tuple[int, str]],
    ) -> None:
        allowed = wanted | ({(200, "")} if name in _STREAMS_WELL else set())
        if strange := {outcome: count for outcome, count in told.items() if outcome not in allowed}:
            self.faults.append(f"{name}: questions were answered {strange}")
        if not told.keys() & wanted:
            self.faults.append(f"{name}: it was never met")
        if longest > self.plan.longest_seconds:
            self.faults.append(f"{name}: a thread was held for {longest:.1f} s")
        if ratio > self.plan.ratio:
            self.faults.append(f"{name}: other routes took {ratio:.2f} times as long")
        if failed := sum(turn.others_failed for turn in turns):
            self.faults.append(f"{name}: {failed} requests that need no model failed")

    def _turn(self) -> _Turn:
        """Both kinds of requests side by side, until all of them are answered."""
        turn, stopped = _Turn(), threading.Event()
        with ThreadPoolExecutor(ASKERS) as pool:
            asking = [pool.submit(self._ask, turn, stopped, number) for number in range(ASKERS)]
            time.sleep(_BETWEEN_SECONDS)  # until questions are under way
            sent = self.traffic.send([self._other(number) for number in range(self._count)])
            stopped.set()
            for one in asking:
                one.result()
        turn.others = [outcome.seconds for outcome in sent]
        turn.others_failed = sum(outcome.status != 200 for outcome in sent)
        return turn

    @property
    def _count(self) -> int:
        return int(self.plan.seconds * self.plan.rate)

    def _other(self, number: int) -> Call:
        calls = (
            lambda: self.key.getting("/api/history?limit=1", kind="history"),
            lambda: self.key.getting("/api/keys/self", kind="self"),
            lambda: self.key.asking(QUESTION, kind="cached"),
        )
        return calls[number % len(calls)]()

    def _ask(self, turn: _Turn, stopped: threading.Event, asker: int) -> None:
        """Half of the askers read streams."""
        client = Client(self.up)
        try:
            while not stopped.is_set():
                call = self.key.asking(QUESTION, use_cache=False, stream=bool(asker % 2))
                began = time.monotonic()
                told = _told(client, call)
                seconds = time.monotonic() - began
                turn.questions.append(seconds)
                turn.told[told] += 1
                stopped.wait(max(0.0, _BETWEEN_SECONDS - seconds))
        finally:
            client.close()

    @contextmanager
    def _failing(self, behaviour: Behaviour | None) -> Iterator[None]:
        """None: nobody listens at the model's address."""
        if behaviour is not None:
            self.model.reset(behaviour)
            yield
            self.model.reset(_WELL)
            return
        self.model.stop()
        yield
        self.model = self.new_model()
        self.model.start()

    def _forget_circuits(self) -> None:
        """What an endpoint asked for a minute is not to be kept to in the next turn."""
        with Redis.from_url(embedded.redis_url(self.up.data_dir)) as redis:
            for name in redis.scan_iter("circuit:*"):
                redis.delete(name)


def _median(seconds: Sequence[float]) -> float:
    return statistics.median(seconds)


def _told(client: Client, call: Call) -> tuple[int, str]:
    """Status and code of an answer, or of a stream's last event; (0, …) for no answer at all."""
    try:
        response, body = client.send("POST", QUERY, body=call.body, headers=call.headers)
    except (OSError, http.client.HTTPException) as error:
        return 0, type(error).__name__
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        name, _, data = body.strip().split(b"\n\n")[-1].partition(b"\n")
        if name != b"event: error":
            return 200, ""
        problem = json.loads(data.removeprefix(b"data: "))
        return int(problem["status"]), str(problem["code"])
    return response.status, "" if response.status == 200 else str(json.loads(body)["code"])
