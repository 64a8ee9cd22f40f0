"""Every malformed file at once: each ends ready or failed with a code, nothing dies or swells, and a good file still passes."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

from documents.structure import Limits
from tests import site
from tests.chaos import uploading
from tests.chaos.report import Report, on_its_own_site
from tests.documents import malformed
from tests.documents.malformed import CODES, Sample
from tests.site import Site

FOLDER = "PDFS"  # names in the environment a folder whose files are uploaded as well
GOOD_SECONDS = 5.0  # in which a good file is to be ready, whatever else is going on
PAUSE = 3.0  # between two good files
AT_ONCE = 4  # uploads
ALL_SECONDS = 3_600.0  # for a site that is stuck, not for one that is slow
_SAMPLE_SECONDS = 0.2
_SERVER = "documents.confined.parsing_server"


def whole() -> Report:
    samples = [*malformed.samples(), *_of_folder(os.environ.get(FOLDER, ""))]
    # Their webhooks are of this machine, which has to be allowed; nobody listens there.
    return on_its_own_site(lambda up: survived(up, samples), WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32")


def _of_folder(folder: str) -> Iterator[Sample]:
    if folder:
        for path in sorted(Path(folder).iterdir()):
            yield Sample(f"folder/{path.name}", path.name, path.read_bytes())


def survived(up: Site, samples: Sequence[Sample], *, good_seconds: float = GOOD_SECONDS) -> Report:
    """Uploads the samples for one tenant, and for another a good file every few seconds until all of them have ended."""
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        client, neighbour = (stack.enter_context(_client(up, raw)) for raw in uploading.keys(up))
        _good_file(neighbour, number=0)  # the workers have their models and their parsers
        before = _workers(up)
        with _watching_memory(up) as memory, _uploading_good_files(neighbour) as good:
            uploaded = list(pool.map(lambda sample: _upload(client, sample), samples))
            ends = {sample.name: _end(client, body) for sample, body in zip(samples, uploaded, strict=True)}
        lost = before - _workers(up)
    return _report(ends, good, memory, lost=lost, good_seconds=good_seconds)


def _client(up: Site, raw_key: str) -> httpx2.Client:
    return httpx2.Client(base_url=up.facts["url"], headers={"X-API-Key": raw_key}, timeout=120)


def _report(
    ends: dict[str, str],
    good: list[tuple[str, float]],
    memory: "_Memory",
    *,
    lost: set[int],
    good_seconds: float,
) -> Report:
    faults = [f"{name}: {code}" for name, code in ends.items() if code not in CODES]
    faults += [f"worker {pid} is gone" for pid in sorted(lost)]
    faults += memory.faults()
    faults += [
        f"good file {number}: {status} after {seconds:.1f} s"
        for number, (status, seconds) in enumerate(good, start=1)
        if status != "ready" or seconds > good_seconds
    ]
    if not good:
        faults.append("no good file was uploaded meanwhile")
    slow = sorted(seconds for _, seconds in good) or [0.0]
    return Report(
        asked={"files": len(ends), "good_seconds": good_seconds},
        seen={
            **dict(Counter(ends.values()).most_common()),
            "good files": len(good),
            "median good s": round(slow[len(slow) // 2], 2),
            "slowest good s": round(slow[-1], 2),
            "parser MiB": memory.child >> 20,
            "server MiB": memory.server >> 20,
        },
        faults=faults,
    )


# Uploads --------------------------------------------------------------------------------------------------------


def _upload(client: httpx2.Client, sample: Sample) -> dict[str, Any]:
    """What was answered: the document, or why it was refused."""
    name = sample.filename.encode(errors="replace").decode()
    answer = client.post("/api/documents", files={"file": (name, sample.content)}, data={"collection": "bad"})
    try:
        body: dict[str, Any] = answer.json()
    except json.JSONDecodeError:
        return {"code": f"status {answer.status_code}"}
    return body


def _end(client: httpx2.Client, body: dict[str, Any]) -> str:
    """`ready`, or the code that it failed or was refused with."""
    if "id" not in body:
        return str(body.get("code"))

    def look() -> Any:
        document = client.get(f"/api/documents/{body['id']}").json()
        return document if document["status"] in {"ready", "failed"} else time.sleep(0.3)

    try:
        document = site.wait_for(look, seconds=ALL_SECONDS)
    except AssertionError:
        return "never ended"
    return str(document["error_code"] or document["status"])


def _good_file(client: httpx2.Client, *, number: int) -> tuple[str, float]:
    """How a file that nobody has uploaded before ends, and seconds from its upload to then."""
    begun = time.monotonic()
    text = f"Good file {number} of {begun}. Keys are rotated every ninety days.\n".encode()
    code = _end(client, _upload(client, Sample("good", f"good{number}.txt", text)))
    return code, time.monotonic() - begun


@contextmanager
def _uploading_good_files(client: httpx2.Client) -> Iterator[list[tuple[str, float]]]:
    over, seen = threading.Event(), list[tuple[str, float]]()

    def run() -> None:
        while not over.is_set():
            seen.append(_good_file(client, number=len(seen) + 1))
            over.wait(PAUSE)

    with _thread(run, over):
        yield seen


@contextmanager
def _thread(run: Any, over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# Processes ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Memory:
    """The most resident bytes that were seen: of a parsing server, and of a child, which shares some with its server."""

    server: int = 0
    child: int = 0
    looks: int = 0
    allowed: int = field(default_factory=lambda: Limits().memory_bytes)

    def look(self, processes: Iterable[psutil.Process]) -> None:
        servers = {process.pid: process for process in processes}
        self.looks += 1
        for process in servers.values():
            with suppress(psutil.NoSuchProcess):
                held = process.memory_info().rss
                if process.ppid() in servers:
                    self.child = max(self.child, held)
                else:
                    self.server = max(self.server, held)

    def faults(self) -> list[str]:
        found = [] if self.server else ["no parsing server was seen"]
        if self.child > self.allowed + self.server:
            found.append(f"a parser had {self.child >> 20} MiB")
        return found


@contextmanager
def _watching_memory(up: Site) -> Iterator[_Memory]:
    memory, over = _Memory(), threading.Event()

    def run() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            memory.look(_parsers(up))

    with _thread(run, over):
        yield memory


def _parsers(up: Site) -> list[psutil.Process]:
    """The parsing servers, and their children, which have the same command line."""
    found = []
    for process in psutil.Process(up.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any(_SERVER in word for word in process.cmdline()):
                found.append(process)
    return found


def _workers(up: Site) -> set[int]:
    return {process.pid for process in up.children("celery", "worker")}
