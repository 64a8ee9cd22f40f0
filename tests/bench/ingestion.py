"""Whole ingestion: files through a running site's workers, over what its embedder alone could do.

Run in a process with the settings of the site whose process has the id that is given; prints the comparisons as JSON.
The files wait in the queue while the workers are held; the clock runs from their release until the last file is ready.
The baseline is the local model alone, on the texts of the very same chunks, in as many processes of a thread each as
the site has workers. Every file is new, so that no cache knows it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import django
import psutil

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")
django.setup()

import httpx2  # noqa: E402
from django.conf import settings  # noqa: E402

from accounts.models import Tenant  # noqa: E402
from documents import passages  # noqa: E402
from documents.models import Chunk, Document  # noqa: E402
from ragsite.lib import row_security  # noqa: E402
from ragsite.lib.postgres import OWNER  # noqa: E402
from tests.bench import corpus  # noqa: E402
from tests.bench.corpus import File  # noqa: E402
from tests.bench.embedders import INTERPRETER, started, told  # noqa: E402
from tests.bench.embedding_alone import PROCESSES, EmbeddingAlone  # noqa: E402
from tests.bench.measure import Comparison, Sample, compare  # noqa: E402

UPLOADERS: Final = 4
LOOK_SECONDS: Final = 0.02
PAIRS_WITH_UPLOADS: Final = 3
PDFS: Final = 10  # until they are found, one by one
PLAIN: Final = Path(__file__).with_name("plain_pipeline.py")
Status = Document.Status


@dataclass
class Turns:
    """Turns of one workload at one site."""

    site: psutil.Process
    client: httpx2.Client
    tenant: Tenant
    files: Callable[[], Sequence[File]]
    spent: dict[str, list[float]] = field(default_factory=dict)  # milliseconds a document, by whose they are
    took: list[float] = field(default_factory=list)  # seconds until all were ready
    texts: list[str] = field(default_factory=list)
    sent: Sequence[File] = ()

    @property
    def count(self) -> int:
        return len(self.sent)

    def drained(self) -> Sample:
        """From the release of the workers until the last file is ready."""
        with _held(self.site):
            self._upload()
        return self._until_ready(time.perf_counter(), self._cpu())

    def uploaded(self) -> Sample:
        """From the first byte of the first upload until the last file is ready."""
        began, before = time.perf_counter(), self._cpu()
        self._upload()
        return self._until_ready(began, before)

    def found(self) -> Sample:
        """From the acknowledgement of an upload until a search finds it."""
        before = self._cpu()
        self._upload()
        began = time.perf_counter()
        self._until_ready(began, before)
        # Among itself alone: the files of earlier turns are made of the same sentences.
        asked = {"question": self.texts[0][:200], "document_ids": self.ids}
        while self.ids[0] not in self.client.post("/api/search", json=asked).raise_for_status().text:
            time.sleep(LOOK_SECONDS)
        return self._sample(time.perf_counter() - began, before)

    def alone(self, model: EmbeddingAlone) -> Sample:
        """The embedder alone on the texts of the last turn."""
        seconds, cpu = model.embed(self.texts)
        return Sample(self.count / seconds, cpu / self.count)

    def plain(self, process: "subprocess.Popen[str]") -> Sample:
        """The plain pipeline on the files of the last turn."""
        with TemporaryDirectory() as folder:
            for file in self.sent:
                Path(folder, file.name).write_bytes(file.content)
            before = self._cpu()["postgres"]
            seconds, cpu = map(float, told(process, folder))
            behind = self._cpu()["postgres"] - before
        return Sample(self.count / seconds, cpu / self.count, behind / self.count)

    def _upload(self) -> None:
        self.sent = self.files()
        with ThreadPoolExecutor(UPLOADERS) as pool:
            self.ids = list(pool.map(self._document, self.sent))

    def _document(self, file: File) -> str:
        answer = self.client.post("/api/documents", files={"file": (file.name, file.content)})
        identifier: str = answer.raise_for_status().json()["id"]
        return identifier

    def _until_ready(self, began: float, before: dict[str, float]) -> Sample:
        rows = Document.objects.for_tenant(self.tenant).filter(pk__in=self.ids)
        while rows.exclude(status__in=[Status.READY, Status.FAILED]).exists():
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - began
        self.took.append(seconds)
        sample = self._sample(seconds, before)
        if rows.exclude(status=Status.READY).exists():
            raise RuntimeError("A file of the benchmark could not be read.")
        chunks = Chunk.objects.for_tenant(self.tenant).filter(document_id__in=self.ids)
        self.texts = [passages.context(chunk) for chunk in chunks.select_related("document")]
        return sample

    def _sample(self, seconds: float, before: dict[str, float]) -> Sample:
        spent = {name: (now - before[name]) / self.count for name, now in self._cpu().items()}
        for name, share in spent.items():
            self.spent.setdefault(name, []).append(share * 1000)
        own = spent["workers"] + spent["parsers"]
        return Sample(self.count / seconds, own, sum(spent.values()) - own)

    def _cpu(self) -> dict[str, float]:
        """CPU seconds of the site's processes so far, by what they do."""
        used = dict.fromkeys(("workers", "parsers", "postgres", "redis", "others"), 0.0)
        for process in self.site.children(recursive=True):
            with suppress(
                psutil.NoSuchProcess
            ):  # a parser's child, or a database's connection, that has ended
                kind = _kind(process)
                # What a parser's child used is its server's as soon as it has ended.
                used[kind] += sum(process.cpu_times()[: 4 if kind == "parsers" else 2])
        return used


def _kind(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    words = {"parsing_server": "parsers", "celery": "workers", "postgres": "postgres", "redis": "redis"}
    return next((kind for word, kind in words.items() if word in line), "others")


@contextmanager
def _held(site: psutil.Process) -> Iterator[None]:
    """The site's workers get no processor in the block."""
    workers = [process for process in site.children(recursive=True) if _kind(process) == "workers"]
    for process in workers:
        process.suspend()
    try:
        yield
    finally:
        for process in workers:
            process.resume()


def end_to_end(make: Callable[[], Turns], names: Sequence[str]) -> Iterator[Comparison]:
    """Each workload with the files queued beforehand, then with their uploads."""
    for name in names:
        turns = make()
        turns.files = partial(corpus.WORKLOADS[name], Random(time.time_ns()))
        with EmbeddingAlone() as model:
            baseline = partial(turns.alone, model)
            queued = compare(f"{name}, queued / embedder", subject=turns.drained, baseline=baseline)
            notes = {f"{who} ms": round(median(shares), 1) for who, shares in turns.spent.items()}
            yield replace(queued, notes={"chunks": round(len(turns.texts) / turns.count, 1), **notes})
            yield compare(
                f"{name}, uploaded / embedder",
                subject=turns.uploaded,
                baseline=baseline,
                pairs=PAIRS_WITH_UPLOADS,
            )


def over_plain(make: Callable[[], Turns], names: Sequence[str]) -> Iterator[Comparison]:
    """Each workload over the same files ingested the obvious way; see `plain_pipeline`."""
    owner = settings.DATABASES[OWNER]
    database = {name: str(owner[name]) for name in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")}
    database["ENGINE"] = "django.db.backends.postgresql"
    job = {"threads": PROCESSES, "database": database}
    with started(os.environ[INTERPRETER], PLAIN, job) as (process, _):
        for name in names:
            turns = make()
            turns.files = partial(corpus.WORKLOADS[name], Random(time.time_ns()))
            yield compare(
                f"{name} / plain pipeline", subject=turns.drained, baseline=partial(turns.plain, process)
            )


def searchable(make: Callable[[], Turns], _: Sequence[str]) -> Iterator[Comparison]:
    """A PDF of ten pages, alone at an idle site, until it is found; over the time that its embedding takes, one thread."""
    turns, random = make(), Random(time.time_ns())
    turns.files = lambda: [corpus.report(random)]
    with EmbeddingAlone(processes=1) as model:
        baseline = partial(turns.alone, model)
        made = compare("PDF of 10 pages found / embedder", subject=turns.found, baseline=baseline, pairs=PDFS)
    found = [1 / sample.rate for sample in made.subject]
    notes = {"ready s": median(turns.took[1:]), "found s": median(found), "slowest s": max(found)}
    yield replace(made, notes={name: round(seconds, 3) for name, seconds in notes.items()})


CASES: Final = {"end-to-end": end_to_end, "plain-pipeline": over_plain, "searchable": searchable}


def main(job: dict[str, Any]) -> None:
    with row_security.across():
        tenant = Tenant.objects.get(slug=job["tenant"])
    client = httpx2.Client(base_url=job["url"], headers={"X-API-Key": job["key"]}, timeout=60)

    def turns() -> Turns:
        return Turns(psutil.Process(job["pid"]), client, tenant, files=list)

    with row_security.within(tenant.pk), client:
        print(json.dumps([asdict(comparison) for comparison in CASES[job["case"]](turns, job["workloads"])]))


if __name__ == "__main__":
    main(json.loads(sys.stdin.readline()))
