"""One call to the model for all who ask the same at once, over a site's web processes, also when who leads is killed."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import psutil

from tests import site
from tests.chaos import people
from tests.chaos.report import Report, on_its_own_site
from tests.chaos.traffic import Client, carrying, web_workers
from tests.model_server import Behaviour, ModelServer
from tests.site import Site

ASKERS = 200
WORKERS = 2
_ANSWERED = 200
_SHOWN = 300


def whole() -> Report:
    """200 at once, then 200 whose leader is killed."""
    with model_of_site() as (model, settings):
        return on_its_own_site(lambda up: _joined(identical(up, model), killed(up, model)), **settings)


@contextmanager
def model_of_site() -> Iterator[tuple[ModelServer, Mapping[str, str]]]:
    """A model, and the settings of a site that asks it."""
    with ModelServer() as model:
        yield (
            model,
            {
                "ANSWER_PROVIDER": "openai",
                "ANSWER_MODEL": "scripted-1",
                "ANSWER_BASE_URL": model.url,
                "ANSWER_API_KEY": "sk-chaos",
                "WEB_WORKERS": str(WORKERS),
                # On a busy machine Redis may take its time, and whoever cannot have it asks alone.
                "REDIS_TIMEOUT_MS": "5000",
            },
        )


def _joined(*reports: Report) -> Report:
    """As one, each figure with its part's number."""
    asked = {
        f"{name}_{number}": value
        for number, each in enumerate(reports, 1)
        for name, value in each.asked.items()
    }
    seen = {
        f"{name}_{number}": value
        for number, each in enumerate(reports, 1)
        for name, value in each.seen.items()
    }
    return Report(asked, seen, [fault for each in reports for fault in each.faults])


_RETRY_AFTER = 2.0  # seconds, as such an answer says


@dataclass(frozen=True)
class Got:
    """An answer's status, 0 where the connection broke, and its body."""

    status: int
    body: Mapping[str, Any]


def identical(up: Site, model: ModelServer, *, askers: int = ASKERS, seconds: float = 2.0) -> Report:
    """`askers` ask one question at once, of a model that takes `seconds`."""
    model.reset(Behaviour(reply="One for all [1].", delay=seconds))
    began = time.monotonic()
    got = _at_once(up, askers, question="How do I rotate an API key?")
    took = round(time.monotonic() - began, 2)
    texts = Counter(each.body.get("answer") for each in got)
    made = sum(each.body.get("from_cache") is False for each in got)
    ids = {each.body.get("id") for each in got}
    statuses = Counter(each.status for each in got)
    return Report(
        asked={"askers": askers, "model_seconds": seconds},
        seen={"model_calls": model.calls, "statuses": dict(statuses), "made": made, "seconds": took},
        faults=_faults({
            f"{model.calls} calls to the model": model.calls != 1,
            f"statuses {dict(statuses)}": statuses != {_ANSWERED: askers},
            f"{made} answers were made": made != 1,
            f"answers {dict(texts)}": set(texts) != {"One for all [1]."},
            f"{len(ids)} ids": len(ids) != askers,
        }),
    )  # fmt: skip


def killed(up: Site, model: ModelServer, *, askers: int = ASKERS, seconds: float = 3.0) -> Report:
    """As `identical`, and the web process that waits for the model is killed. Whose connection breaks asks again; so
    does whoever is told that too many wait, while one process has the askers of both."""
    model.reset(Behaviour(reply="One for all [1].", delay=seconds))
    began = time.monotonic()
    with ThreadPoolExecutor(1) as aside:
        ending = aside.submit(_kill_leader, up, model)
        got = _at_once(up, askers, question="What is a usage record?", again=True)
        ended = ending.result()
    took = round(time.monotonic() - began, 2)
    statuses = Counter(each.status for each in got)
    texts = Counter(each.body.get("answer") for each in got)
    return Report(
        asked={"askers": askers, "model_seconds": seconds},
        seen={"killed": ended, "model_calls": model.calls, "statuses": dict(statuses), "seconds": took},
        faults=_faults({
            "nobody was killed": ended < 1,
            f"{model.calls} calls to the model": model.calls > 2,
            f"statuses {dict(statuses)}": statuses != {_ANSWERED: askers},
            f"answers {dict(texts)}": set(texts) != {"One for all [1]."},
        }),
    )  # fmt: skip


def _faults(found: Mapping[str, bool]) -> list[str]:
    return [fault for fault, is_there in found.items() if is_there]


def _kill_leader(up: Site, model: ModelServer) -> int:
    """Kills whoever has a connection to the model, which an idle one may keep, once the others have had time to follow; how many it killed."""
    site.wait_for(lambda: model.calls)
    time.sleep(0.5)
    leaders = [worker for worker in web_workers(up) if _calls(worker, model)]
    for leader in leaders:
        leader.kill()
    return len(leaders)


def _calls(worker: psutil.Process, model: ModelServer) -> bool:
    port = int(model.url.removesuffix("/v1").rsplit(":", 1)[1])
    return any(
        held.raddr and held.raddr.port == port and held.status == psutil.CONN_ESTABLISHED
        for held in worker.net_connections("tcp")
    )


def _at_once(up: Site, askers: int, *, question: str, again: bool = False) -> list[Got]:
    """What each of them got who asked this at the same moment, over a connection of its own."""
    _, raw = people.Business(up).mint(**people.GENEROUS)
    barrier = threading.Barrier(askers, timeout=60)
    body = json.dumps({"question": question}).encode()

    def ask(_: int) -> Got:
        client = Client(up)
        client.connect()
        barrier.wait()
        got = _ask(client, raw, body)
        while again and (got.status == 0 or got.body.get("code") == "too_many_waiting"):
            time.sleep(_RETRY_AFTER * (got.status > 0))
            got = _ask(client, raw, body)
        client.close()
        return got

    with ThreadPoolExecutor(askers) as pool:
        return list(pool.map(ask, range(askers)))


def _ask(client: Client, raw: str, body: bytes) -> Got:
    try:
        response, content = client.send("POST", "/api/query", body=body, headers=carrying(raw))
    except (OSError, HTTPException):
        return Got(0, {})
    return Got(response.status, json.loads(content))
