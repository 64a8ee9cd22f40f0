"""Files that come in from two tenants at a steady rate, each sent until it is acknowledged, whatever dies meanwhile."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import httpx2

from tests.site import Site, free_port

AT_ONCE = 4
PATIENCE_SECONDS = 120.0  # in which an upload is to be acknowledged, outage or not
_WORDS = [
    "kettle",
    "valve",
    "harbour",
    "ledger",
    "frost",
    "turbine",
    "meadow",
    "signal",
    "copper",
    "archive",
    "lantern",
    "bridge",
    "orchard",
]

# A second tenant, a key of each, and an address that each wants to be told at. Prints the keys.
_PROGRAM = """
import json, sys, django; django.setup()
from accounts.models import Tenant
from apikeys import keys
from ragsite.lib import row_security
from webhooks import endpoints
with row_security.across():
    parties = [Tenant.objects.get_or_create(slug=slug, defaults={"name": slug})[0] for slug in ("demo", "other")]
    for tenant in parties:
        endpoints.add(tenant, url=sys.argv[1], events=["document.ready", "document.failed"])
    wanted = {"name": "chaos", "owner": None, "scopes": ["ingest", "query"], "rate_limit": 1_000_000, "burst": 1_000_000}
    json.dump([keys.mint(tenant=tenant, **wanted)[1] for tenant in parties], sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content: bytes = field(repr=False)
    is_poison: bool = False


@dataclass
class Acknowledged:
    """The ids of what was answered 2xx, and how often something else was answered, or nothing."""

    ids: list[UUID] = field(default_factory=list)
    poison: list[UUID] = field(default_factory=list)
    refused: int = 0


def files(count: int, *, seed: str) -> list[File]:
    """Small and middling texts: six in ten of a page, three of ten pages, one of sixty."""
    chance = random.Random(seed)
    sizes = chance.choices((1_200, 12_000, 70_000), (6, 3, 1), k=count)
    return [File(f"{seed}-{number}.txt", _text(chance, size)) for number, size in enumerate(sizes)]


def _text(chance: random.Random, size: int) -> bytes:
    """No two paragraphs are alike, so that none has the vector of another."""
    paragraphs, length = [], 0
    while length < size:
        words = " ".join(chance.choices(_WORDS, k=60))
        paragraphs.append(f"Entry {chance.getrandbits(40):x} of the log. The {words}.")
        length += len(paragraphs[-1])
    return "\n\n".join(paragraphs).encode()


def keys(up: Site) -> list[str]:
    """One of each of two tenants, which are made where they are missing, and told of each document's end."""
    environment = up.environment | {"DJANGO_SETTINGS_MODULE": "ragsite.settings", "LOG_LEVEL": "ERROR"}
    nowhere = f"https://127.0.0.1:{free_port()}/"  # what is told is read from the outbox
    program = [sys.executable, "-c", _PROGRAM, nowhere]
    told = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert not told.returncode, told.stderr
    return list(json.loads(told.stdout))


@contextmanager
def uploading(
    up: Site, files: Sequence[File], *, raw_keys: Sequence[str], seconds: float
) -> Iterator[Acknowledged]:
    """Sends the files beside the block, spread over so many seconds, tenant by turns. All are acknowledged after it."""
    told, lock, began = Acknowledged(), threading.Lock(), time.monotonic()

    def send(number: int) -> None:
        file = files[number]
        time.sleep(max(0.0, began + number * seconds / len(files) - time.monotonic()))
        document_id, refused = _acknowledged(up, file, raw_keys[number % len(raw_keys)])
        with lock:
            (told.poison if file.is_poison else told.ids).append(document_id)
            told.refused += refused

    with ThreadPoolExecutor(AT_ONCE) as pool:
        sent = [pool.submit(send, number) for number in range(len(files))]
        yield told
        for one in sent:
            one.result()


def _acknowledged(up: Site, file: File, raw_key: str) -> tuple[UUID, int]:
    """The document's id, and how many tries were in vain. The same bytes again are the same document."""
    deadline, refused = time.monotonic() + PATIENCE_SECONDS, 0
    while True:
        answer = _sent(up, file, raw_key)
        if answer is not None and answer.is_success:
            return UUID(answer.json()["id"]), refused
        seen = "no answer" if answer is None else f"{answer.status_code}: {answer.text[:200]}"
        assert time.monotonic() < deadline, f"{file.name} was never acknowledged: {seen}"
        assert answer is None or answer.status_code == 503, f"{file.name}: {seen}"
        refused += 1
        time.sleep(0.3)


def _sent(up: Site, file: File, raw_key: str) -> httpx2.Response | None:
    try:
        return httpx2.post(
            f"{up.facts['url']}/api/documents",
            headers={"X-API-Key": raw_key},
            files={"file": (file.name, file.content)},
            timeout=60,
        )
    except httpx2.TransportError:
        return None
