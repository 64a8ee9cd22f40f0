"""What it costs to wait for a model: many requests at once, and one."""

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests import patient_model, site
from tests.bench import asker, servers
from tests.bench.load import Call, Server, sample, spending
from tests.bench.measure import Comparison, Sample
from tests.patient_model import PatientModel
from tests.site import Site

FLIGHT: Final = Path(__file__).with_name("flight.py")
IN_FLIGHT: Final = 200
THINKS: Final = 2.0  # seconds, while so many are in flight
THINKS_LITTLE: Final = 0.3  # seconds, of which a hit is a hundredth or less
RUNNING_IN: Final = 5.0
COUNTED: Final = 8.0
CACHED_CLIENTS: Final = 1  # one after the other: two cores have no room for more beside the rest
MISSES, HITS, PAIRS = 12, 200, 5
_NUMBERED: Final = "How do I rotate API key number 000000?"
_QUESTION: Final = "How do I rotate an API key?"


@contextmanager
def thinking(delay: float) -> Iterator[tuple[PatientModel, Site]]:
    """A site whose answers come from a model that takes so many seconds."""
    with tempfile.TemporaryDirectory() as folder, patient_model.running(delay=delay) as model:
        settings = {"ANSWER_PROVIDER": "openai", "ANSWER_BASE_URL": model.url, "ANSWER_API_KEY": "sk-bench"}
        with site.running(Path(folder), **settings) as up:
            yield model, up


def in_flight(up: Site, key: str) -> list[Comparison]:
    """How many of so many requests a slow model's time lets through, and cached queries meanwhile over alone."""
    web = servers.of_site(up)
    miss, hit = _asking(key, _NUMBERED, use_cache=False), _asking(key, _QUESTION)
    ideal = Sample(IN_FLIGHT / THINKS, 0.0)

    def cached() -> Sample:
        return sample(web, hit, seconds=COUNTED, clients=CACHED_CLIENTS)

    cached()
    alone, meanwhile, through = [], [], []
    for _ in range(PAIRS):
        alone.append(cached())
        with _flight(web, miss) as flight:
            time.sleep(RUNNING_IN)
            meanwhile.append(cached())
            through.append(_through(*flight().split(), alone=alone[-1], meanwhile=meanwhile[-1]))
    return [
        Comparison(f"{IN_FLIGHT} in flight / ideal", through, [ideal] * PAIRS),
        Comparison("cached meanwhile / alone", meanwhile, alone),
    ]


def _through(count: str, cpu: str, *, alone: Sample, meanwhile: Sample) -> Sample:
    """Those in flight that were answered. Processor time is what is left of the whole without the cached queries'."""
    rate = int(count) / COUNTED

    def left(of: Callable[[Sample], float]) -> float:
        return (of(meanwhile) - of(alone)) * meanwhile.rate / rate

    return Sample(
        rate,
        left(lambda one: one.cpu_seconds),
        left(lambda one: one.behind),
        float(cpu) / int(count),
    )


@contextmanager
def _flight(server: Server, call: Call) -> Iterator[Callable[[], str]]:
    """Requests in flight; the function waits for their end and returns what was told."""
    address = urlsplit(server.url)
    job = f"{address.hostname} {address.port} {IN_FLIGHT} {RUNNING_IN} {COUNTED}\n"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(FLIGHT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    process.stdin.write(job.encode() + call.prebuilt(address.netloc))
    process.stdin.close()

    def told() -> str:
        assert process.stdout
        text = process.stdout.read().decode()
        if process.wait():
            raise RuntimeError("Not every request in flight was answered; see above.")
        return text

    try:
        yield told
    finally:
        process.kill()
        process.wait()


def miss(up: Site, key: str) -> list[Comparison]:
    """One answer that a model makes, over one from the cache."""
    server = servers.of_site(up)
    hit, missed = _asking(key, _QUESTION), _asking(key, _NUMBERED, use_cache=False)
    pairs = [
        (_median(server, hit, count=HITS), _median(server, missed, count=MISSES)) for _ in range(PAIRS + 1)
    ]
    hits, misses = zip(*pairs[1:], strict=True)
    return [Comparison(f"hit / miss of {THINKS_LITTLE} s", hits, misses)]


def added_latency(up: Site, key: str, model: PatientModel) -> list[Comparison]:
    """One answer that an instant model makes, through the site and without it."""
    through, direct = servers.of_site(up), Server(model.url, list)
    asked = _asking(key, _NUMBERED, use_cache=False)
    prompt = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "word " * 1_000}]}
    straight = Call(
        "POST",
        "/v1/chat/completions",
        json.dumps(prompt).encode(),
        {"Content-Type": "application/json"},
    )
    pairs = [
        (_median(through, asked, count=HITS), _median(direct, straight, count=HITS)) for _ in range(PAIRS + 1)
    ]
    site_times, model_times = zip(*pairs[1:], strict=True)
    added = [1 / ours.rate - 1 / theirs.rate for ours, theirs in pairs[1:]]
    notes: Mapping[str, float] = {
        "added ms at p50": round(statistics.median(added) * 1000, 2),
        "least": round(min(added) * 1000, 2),
        "most": round(max(added) * 1000, 2),
    }
    return [Comparison("through ragsite / instant model", site_times, model_times, notes)]


def _median(server: Server, call: Call, *, count: int) -> Sample:
    """A sample whose rate is that of the median request, one after the other on one connection."""
    address = urlsplit(server.url)
    request, times = call.prebuilt(address.netloc), list[float]()

    def work() -> int:
        with socket.create_connection((str(address.hostname), address.port or 80), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(count + 1):
                began = time.perf_counter()
                asker.ask(connection, _another(request))
                times.append(time.perf_counter() - began)
        return count + 1

    spent = spending(server, work)
    return replace(spent, rate=1 / statistics.median(times[1:]))


_number = iter(range(100_000, 1_000_000))


def _another(request: bytes) -> bytes:
    """The question is a new one each time, where it has a number."""
    return request.replace(b"000000", b"%06d" % next(_number), 1)


def _asking(key: str, question: str, *, use_cache: bool = True) -> Call:
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    body = {"question": question} if use_cache else {"question": question, "use_cache": False}
    return Call("POST", "/api/query", json.dumps(body).encode(), headers)
