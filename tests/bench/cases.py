"""What is measured against what."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis import Redis

from ragsite import embedded
from tests import site
from tests.bench import embedders, servers, waits
from tests.bench.corpus import WORKLOADS
from tests.bench.load import Call, Server, sample
from tests.bench.measure import Comparison, Sample, compare
from tests.bench.uploads import Uploads
from tests.site import Site

SECONDS = 3.0
CLIENTS = 8  # processes with a connection each
QUESTION = "How do I rotate an API key?"


def cached_query() -> list[Comparison]:
    """A cached, authenticated, limited, recorded query over the emptiest view of the same gunicorn."""
    with _site() as up:
        web, query = servers.of_site(up), _cached_question(up)
        return [_compared("cached query / empty view", (web, query), (web, Call("GET", "/health")))]


def plain() -> list[Comparison]:
    """The same query over a server that does the same work the obvious way; see `plain_server`."""
    with _site() as up, tempfile.TemporaryDirectory() as folder:
        query = _cached_question(up)
        with servers.plain(Path(folder), _answer(up)) as (server, key):
            asked = replace(query, headers={**query.headers, "X-API-Key": key})
            return [_compared("cached query / plain server", (servers.of_site(up), query), (server, asked))]


def recording() -> list[Comparison]:
    """The same query over one that leaves no record; see `unrecorded`."""
    with _site() as up, servers.another(up, "tests.bench.unrecorded") as silent:
        query = _cached_question(up)
        return [_compared("recorded / unrecorded", (servers.of_site(up), query), (silent, query))]


def row_security() -> list[Comparison]:
    """A search, and the cheapest call that asks Postgres, over the same without row-level security; see `unwalled`."""
    with _site() as up, servers.another(up, "tests.bench.unwalled") as unwalled:
        walled, headers = servers.of_site(up), _cached_question(up).headers
        body = json.dumps({"question": QUESTION}).encode()
        return [
            _compared(f"{name}, walled / unwalled", (walled, call), (unwalled, call))
            for name, call in (
                ("search", Call("POST", "/api/search", body, headers)),
                ("history", Call("GET", "/api/history?limit=1", headers=headers)),
            )
        ]


def durability() -> list[Comparison]:
    """The same query with each record forced to disk before its answer goes out, over leaving that to the kernel."""
    with _site() as up:
        web, query = servers.of_site(up), _cached_question(up)
        redis = Redis.from_url(embedded.redis_url(up.data_dir))

        def turn(appendfsync: str) -> Sample:
            redis.config_set("appendfsync", appendfsync)
            return sample(web, query, seconds=SECONDS, clients=CLIENTS)

        name = "appendfsync always / no"
        return [compare(name, subject=lambda: turn("always"), baseline=lambda: turn("no"))]


def stored(name: str) -> Callable[[], list[Comparison]]:
    """A case of `stored`, over a site's own servers."""

    def run() -> list[Comparison]:
        with _site() as up:
            command = [sys.executable, "-m", "tests.bench.stored", name]
            told = subprocess.run(command, env=up.environment, stdout=subprocess.PIPE, check=True).stdout
        return [_read(row) for row in json.loads(told)]

    return run


def _read(row: Mapping[str, Any]) -> Comparison:
    subject, baseline = ([Sample(**sample) for sample in row[side]] for side in ("subject", "baseline"))
    return Comparison(row["name"], subject, baseline, row["notes"])


def end_to_end() -> list[Comparison]:
    """Documents through the running site over what the embedder alone could do; see `ingestion`."""
    return [comparison for name in WORKLOADS for comparison in _ingested("end-to-end", name)]


def plain_pipeline() -> list[Comparison]:
    """The same over a pipeline that does the same work the obvious way; left out where torch is not installed."""
    if not embedders.torch_interpreter("plain-pipeline"):
        return []
    return _ingested("plain-pipeline", *WORKLOADS)


def searchable() -> list[Comparison]:
    """A PDF of ten pages from its upload until a search finds it."""
    return _ingested("searchable")


def _ingested(case: str, *workloads: str) -> list[Comparison]:
    # As it comes, and patient with workers that are held for as long as the uploads take.
    usual = {"INGEST_LEASE_SECONDS": "15", "SWEEP_SECONDS": "15", "WORKER_PATIENCE_SECONDS": "300"}
    with tempfile.TemporaryDirectory() as folder, site.running(Path(folder), **usual) as up:
        job = {
            "case": case,
            "pid": up.process.pid,
            "url": up.facts["url"],
            "tenant": up.facts["tenant"],
            "key": _quick_key(up, scopes=["ingest", "query"]),
            "workloads": workloads,
        }
        command = [sys.executable, "-m", "tests.bench.ingestion"]
        told = subprocess.run(
            command, env=up.environment, input=json.dumps(job).encode(), stdout=subprocess.PIPE, check=True
        ).stdout
    return [_read(row) for row in json.loads(told)]


def second_upload() -> list[Comparison]:
    """A ten-page PDF that is there already over one that is new, each from its upload until it can be searched."""
    with _site() as up, up.client() as client:
        client.headers["X-API-Key"] = _quick_key(up, scopes=["ingest"])
        uploads = Uploads(up, client)
        uploads.first()  # so that the warm-up of the second has one to follow
        return [compare("second upload / first", subject=uploads.second, baseline=uploads.first)]


def in_flight() -> list[Comparison]:
    """200 requests in flight on a model that takes two seconds, and cached queries meanwhile; see `waits`."""
    with waits.thinking(waits.THINKS) as (_, up):
        return waits.in_flight(up, _quick_key(up))


def miss() -> list[Comparison]:
    """An answer from the cache over one by a model that takes 300 ms."""
    with waits.thinking(waits.THINKS_LITTLE) as (_, up):
        return waits.miss(up, _quick_key(up))


def added_latency() -> list[Comparison]:
    """An answer by a model that takes no time, through the site over straight from it."""
    with waits.thinking(0.0) as (model, up):
        return waits.added_latency(up, _quick_key(up), model)


CASES = {
    "cached-query": cached_query,
    "plain": plain,
    "recording": recording,
    "row-security": row_security,
    "durability": durability,
    "embedding": embedders.embedding,
    "embedder": embedders.embedder,
    "copy": stored("copy"),
    "index": stored("index"),
    "filtered": stored("filtered"),
    "second-upload": second_upload,
    "end-to-end": end_to_end,
    "plain-pipeline": plain_pipeline,
    "searchable": searchable,
    "in-flight": in_flight,
    "miss": miss,
    "added-latency": added_latency,
}


@contextmanager
def _site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder, site.running(Path(folder)) as up:
        yield up


def _compared(name: str, subject: tuple[Server, Call], baseline: tuple[Server, Call]) -> Comparison:
    def turn(server: Server, call: Call) -> Sample:
        return sample(server, call, seconds=SECONDS, clients=CLIENTS)

    return compare(name, subject=lambda: turn(*subject), baseline=lambda: turn(*baseline))


def _cached_question(up: Site) -> Call:
    _answer(up)
    headers = {"X-API-Key": _quick_key(up), "Content-Type": "application/json"}
    return Call("POST", "/api/query", json.dumps({"question": QUESTION}).encode(), headers)


def _answer(up: Site) -> Any:
    with up.client() as client:
        return client.post("/api/query", json={"question": QUESTION}).raise_for_status().json()


def _quick_key(up: Site, *, scopes: Sequence[str] = ("query",)) -> str:
    """A key whose limit no benchmark reaches."""
    with up.client() as client:
        people = {"username": up.facts["business_username"], "password": up.facts["business_password"]}
        token = client.post("/api/token", json=people).raise_for_status().json()["access"]
        del client.headers["X-API-Key"]
        wanted = {"name": "bench", "scopes": list(scopes), "rate_limit": 1_000_000, "burst": 1_000_000}
        made = client.post("/api/keys", json=wanted, headers={"Authorization": f"Bearer {token}"})
        key: str = made.raise_for_status().json()["key"]
        return key
