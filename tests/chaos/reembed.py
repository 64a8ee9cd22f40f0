"""Whether a site changes its embedding model, to one of another size, while it is asked and fed.

Its workers are killed in the middle of it, and its Redis loses what it has.
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import redis

from ragsite import embedded
from tests.chaos.people import GENEROUS, Business
from tests.chaos.report import Report, on_its_own_site
from tests.model_server import Behaviour, ModelServer
from tests.site import Site
from tests.turned import TURNED, bent

DOCUMENTS = 200
UPLOADS_A_SECOND, ASKERS = 2.0, 3
AROUND_SECONDS = 6.0  # in which both spaces are seen to serve
PAUSE_SECONDS = 0.1  # of an asker: a site at work, and not one that does nothing but answer
PATIENCE_SECONDS = 600.0  # for a site that is broken, not for a machine that is busy
PARAGRAPHS = 9  # of a document, beside the one that answers its question; each becomes a chunk
BATCH = 64  # chunks that the building asks for at once
# After these parts of the batches every worker dies, and after this one Redis forgets queues, caches and counts.
KILLS_AFTER, FORGETS_AFTER = (0.15, 0.4, 0.7), 0.55
PARTS = (
    "pump",
    "valve",
    "engine",
    "crane",
    "lift",
    "boiler",
    "turbine",
    "bridge",
    "ferry",
    "press",
    "mill",
    "oven",
)
TRAITS = (
    "warranty",
    "weight",
    "inventor",
    "price",
    "colour",
    "capacity",
    "noise",
    "lifetime",
    "origin",
    "fuel",
)
PLACES = ("Rotterdam", "Lyon", "Porto", "Gdansk", "Bergen", "Trieste", "Cork", "Malmo", "Izmir", "Ghent")


def whole() -> Report:
    """On a site of its own, with an index, and an endpoint that takes its time over each batch."""
    with tempfile.TemporaryDirectory() as folder, ModelServer(embedder=bent(Path(folder))) as server:
        server.reset(Behaviour(delay=0.3))
        host = server.url.split("/")[2]
        return on_its_own_site(
            lambda up: change(up, server),
            EMBEDDING_API_KEYS=f"{host}=sk-chaos",
            EXACT_SEARCH_MAX_CHUNKS="200",
        )


def question(number: int) -> str:
    part, trait, place = _names(number)
    return f"What is the {trait} of the {part} from {place}, model {number}?"


def text(number: int, *, paragraphs: int = PARAGRAPHS) -> str:
    """A document of as many chunks, of which one answers its question."""
    chance, (part, trait, place) = random.Random(number), _names(number)
    told = [f"The {trait} of the {part} from {place}, model {number}, is {chance.randint(2, 900)}."]
    for _ in range(paragraphs):
        words = [
            f"{chance.choice(TRAITS)} of the {chance.choice(PARTS)} in {chance.choice(PLACES)}"
            for _ in range(18)
        ]
        told.append(f"In year {chance.randint(1900, 2020)} " + ", the ".join(words) + ".")
    return "\n\n".join(told)


def _names(number: int) -> tuple[str, str, str]:
    return PARTS[number % 12], TRAITS[number // 12 % 10], PLACES[number // 3 % 10]


def change(up: Site, server: ModelServer) -> Report:
    _, raw = Business(up).mint(scopes=["query", "ingest"], **GENEROUS)
    with httpx2.Client(base_url=up.facts["url"], headers={"X-API-Key": raw}, timeout=90) as client:
        _fill(client)
        command(up, "tend")  # the index, without waiting for its minute
        before = looking(up)
        with watching(up) as watched, traffic(client) as told:
            time.sleep(AROUND_SECONDS)
            seconds, kills = _reembed(up, server)
            time.sleep(AROUND_SECONDS)
        for document_id in told["uploaded"]:
            if not _is_ready(client, document_id):
                told["faults"].append(f"{document_id} is not ready")
        after = looking(up)
    return Report(
        asked={"documents": DOCUMENTS, "chunks": before["chunks"], "to_dimensions": TURNED},
        seen={
            "seconds": seconds,
            "kills": kills,
            "made_twice": _made_twice(server),
            "answers": dict(told["statuses"]),
            "uploads": len(told["uploaded"]),
            "searches": watched["seen"],
            "recall_before": before["recall@10"],
            "recall_after": after["recall@10"],
            "vectors_after": after["vectors"],
        },
        faults=[*told["faults"], *_faults(before, after, watched, kills), *_repeated(server, kills)],
    )


def _faults(
    before: Mapping[str, Any], after: Mapping[str, Any], watched: Mapping[str, Any], kills: int
) -> Iterator[str]:
    yield from (f"mixed or empty: {text}" for text in watched["mixed"])
    if before["space"] == after["space"] or f"({TURNED})" not in after["space"]:
        yield f"{after['space']} serves"
    if len(watched["seen"]) < 3:
        yield f"searches saw {watched['seen']}"
    if after["is_missing"] or after["vectors"] != after["chunks"]:
        yield f"{after['vectors']} vectors of {after['chunks']} chunks"
    if min(before["recall@10"], after["recall@10"]) < 0.95:
        yield f"recall@10 {before['recall@10']}, then {after['recall@10']}"
    if kills < len(KILLS_AFTER):
        yield "too few kills"


def _repeated(server: ModelServer, kills: int) -> Iterator[str]:
    if (twice := _made_twice(server)) > kills * BATCH:
        yield f"{twice} vectors were made twice, for {kills} kills"


def _made_twice(server: ModelServer) -> int:
    texts = [text for batch in _batches(server) for text in batch]
    return len(texts) - len(set(texts))


def _batches(server: ModelServer) -> list[list[str]]:
    """What the building has asked for. Documents that come in are smaller."""
    asked = [request.body["input"] for request in list(server.requests)]
    return [texts for texts in asked if len(texts) > PARAGRAPHS + 1]


def _fill(client: httpx2.Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        for document_id in list(pool.map(lambda number: upload(client, number), range(DOCUMENTS))):
            assert _is_ready(client, document_id), f"{document_id} is not ready"


def _is_ready(client: httpx2.Client, document_id: str) -> bool:
    """Once it is finished; asked now and then, since the site has better to do."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status = client.get(f"/api/documents/{document_id}").raise_for_status().json()["status"]
        if status in {"ready", "failed"}:
            return bool(status == "ready")
        time.sleep(0.5)
    return False


def upload(client: httpx2.Client, number: int, **more: Any) -> str:
    files = {"file": (f"{number}.txt", text(number, **more).encode())}
    return str(client.post("/api/documents", files=files).raise_for_status().json()["id"])


# What goes on meanwhile ----------------------------------------------------------------------------------------


@contextmanager
def traffic(client: httpx2.Client) -> Iterator[dict[str, Any]]:
    """Questions, new and cached, and uploads, until the block ends; yields what became of them."""
    over = threading.Event()
    told: dict[str, Any] = {"statuses": Counter[int](), "uploaded": [], "faults": []}

    def ask(chance: random.Random) -> None:
        while not over.is_set():
            body = {"question": question(chance.randrange(DOCUMENTS)), "use_cache": chance.random() < 0.5}
            answer = client.post("/api/query", json=body)
            told["statuses"][answer.status_code] += 1
            if answer.status_code != 200 or not answer.json()["sources"]:
                told["faults"].append(f"{answer.status_code}: {answer.text[:200]}")
            time.sleep(PAUSE_SECONDS)

    def feed() -> None:
        number = DOCUMENTS
        while not over.wait(1 / UPLOADS_A_SECOND):
            told["uploaded"].append(upload(client, number, paragraphs=1))
            number += 1

    with ThreadPoolExecutor(ASKERS + 1) as pool:
        running = [pool.submit(ask, random.Random(number)) for number in range(ASKERS)] + [pool.submit(feed)]
        try:
            yield told
        finally:
            over.set()
        for one in running:
            one.result()


@contextmanager
def watching(up: Site) -> Iterator[dict[str, Any]]:
    """Searches beside the site until the block ends; what they saw is there afterwards."""
    watched: dict[str, Any] = {}
    with _looker(up, "watch") as process:
        try:
            yield watched
        finally:
            told, _ = process.communicate("\n", timeout=120)
            watched |= json.loads(told)


def looking(up: Site) -> dict[str, Any]:
    with _looker(up, "recall") as process:
        told, _ = process.communicate(timeout=180)
    return dict(json.loads(told))


def _looker(up: Site, what: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.looking", what],
        env=up.environment | {"DJANGO_SETTINGS_MODULE": "ragsite.settings", "LOG_LEVEL": "ERROR"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# The change ----------------------------------------------------------------------------------------------------


def command(up: Site, what: str) -> None:
    program = f"import django; django.setup(); from documents import tasks; tasks.{what}_corpora()"
    environment = up.environment | {"DJANGO_SETTINGS_MODULE": "ragsite.settings"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def _reembed(up: Site, server: ModelServer) -> tuple[float, int]:
    """How long it took, and how often the workers were killed meanwhile."""
    began, kills = time.monotonic(), 0
    argv = [sys.executable, "manage.py", "reembed", "--to", "openai:bent", "--base-url", server.url, "--wait"]
    with subprocess.Popen(argv, env=up.environment, stdout=subprocess.DEVNULL) as process:
        for part in sorted([*KILLS_AFTER, FORGETS_AFTER]):
            if not _has_made(server, process, batches=round(part * DOCUMENTS * PARAGRAPHS / BATCH)):
                break
            if part == FORGETS_AFTER:
                redis.Redis.from_url(embedded.redis_url(up.data_dir)).flushall()
                continue
            kills += 1
            for worker in up.children("worker"):
                kill(worker)
        assert process.wait(PATIENCE_SECONDS) == 0
    return round(time.monotonic() - began, 1), kills


def _has_made(server: ModelServer, process: "subprocess.Popen[bytes]", *, batches: int) -> bool:
    """Once so many batches were asked for; False when it ended before."""
    while process.poll() is None:
        if len(_batches(server)) >= batches:
            return True
        time.sleep(0.02)
    return False


def kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
