"""What is measured against what."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from ragsite.lib.local_model import LocalModel, Precision
from tests import site
from tests.bench.load import Call, sample, taking
from tests.bench.measure import Comparison, compare
from tests.site import Site

SECONDS = 4.0
THREADS = 4
TEXTS = 128
QUESTION = "How do I rotate an API key?"


def cached_query() -> list[Comparison]:
    """A cached, authenticated, limited, recorded query over the emptiest view of the same gunicorn."""
    with _site() as up:
        with up.client() as client:
            client.post("/api/query", json={"question": QUESTION}).raise_for_status()
        headers = {"X-API-Key": _quick_key(up), "Content-Type": "application/json"}
        query = Call("POST", "/api/query", json.dumps({"question": QUESTION}).encode(), headers)
        return [_against_empty_view("cached query / empty view", up, query)]


def embedding() -> list[Comparison]:
    """The local model at 8 bits over itself at 32, on texts of a chunk's length, two threads."""
    random = Random(7)
    words = Path(__file__).parent.joinpath("measure.py").read_text().split()
    texts = [" ".join(random.choices(words, k=120)) for _ in range(TEXTS)]
    with tempfile.TemporaryDirectory() as folder:
        models = {
            precision: LocalModel(Path(folder), precision=precision, threads=2) for precision in Precision
        }

        def embed(precision: Precision) -> Callable[[], int]:
            return lambda: len(models[precision].embed(texts))

        return [
            compare(
                "embedding int8 / fp32",
                subject=lambda: taking(embed(Precision.INT8)),
                baseline=lambda: taking(embed(Precision.FP32)),
            )
        ]


CASES = {"cached-query": cached_query, "embedding": embedding}


@contextmanager
def _site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder, site.running(Path(folder)) as up:
        yield up


def _against_empty_view(name: str, up: Site, call: Call) -> Comparison:
    web = up.children("gunicorn")
    url = up.facts["url"]
    empty = Call("GET", "/health")
    return compare(
        name,
        subject=lambda: sample(url, call, processes=web, seconds=SECONDS, threads=THREADS),
        baseline=lambda: sample(url, empty, processes=web, seconds=SECONDS, threads=THREADS),
    )


def _quick_key(up: Site) -> str:
    """A key whose limit no benchmark reaches."""
    with up.client() as client:
        people = {"username": up.facts["business_username"], "password": up.facts["business_password"]}
        token = client.post("/api/token", json=people).raise_for_status().json()["access"]
        del client.headers["X-API-Key"]
        wanted = {"name": "bench", "scopes": ["query"], "rate_limit": 1_000_000, "burst": 1_000_000}
        made = client.post("/api/keys", json=wanted, headers={"Authorization": f"Bearer {token}"})
        key: str = made.raise_for_status().json()["key"]
        return key
