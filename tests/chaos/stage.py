"""A site that is to be broken while files come in, and what it is asked about them."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ragsite import embedded, watchdog
from tests import model_answers, site
from tests.chaos import poison, redis_server
from tests.chaos.redis_server import Server
from tests.chaos.uploading import Acknowledged, keys
from tests.model_server import Behaviour, ModelServer
from tests.site import Site

STUCK_SECONDS = 180.0  # without an end of any document; for a site that is stuck, not for one that is slow
MODEL_SECONDS = 0.25  # of each call to the model, so that most kills hit a worker that waits for it
_NODES = ("worker", "large", "critical")
_DIMENSIONS = 384


@dataclass
class Stage:
    """A site with a Redis of its own, and a model's server that tells what it was asked for.

    What was uploaded in earlier cases stays, and is looked at again after each.
    """

    up: Site
    redis: Server
    model: ModelServer
    keys: Sequence[str]
    patience: float = STUCK_SECONDS
    model_seconds: float = MODEL_SECONDS
    all: Acknowledged = field(default_factory=Acknowledged)

    @property
    def database(self) -> str:
        return embedded.database_url(self.up.data_dir, role="postgres")

    def forget(self) -> None:
        """What the model was asked for until now."""
        self.model.reset(Behaviour(delay=self.model_seconds))

    def embedded(self) -> Counter[str]:
        """How often the model was given each text."""
        texts = Counter[str]()
        for request in list(self.model.requests):
            given = request.body.get("input", [])
            texts.update([given] if isinstance(given, str) else given)
        return texts

    def watchdog_ends(self) -> int:
        """How often the watchdog has ended a worker."""
        logs = [self.up.data_dir / "logs" / f"{node}.log" for node in _NODES]
        return sum(log.read_text().count(watchdog.MESSAGE) for log in logs if log.exists())


@contextmanager
def stage(
    patience: float = STUCK_SECONDS, model_seconds: float = MODEL_SECONDS, /, **settings: str
) -> Iterator[Stage]:
    """`patience`: seconds without an end of any document, after which it is taken for stuck. `model_seconds`: how long
    each call to the model takes."""
    with (
        tempfile.TemporaryDirectory() as below,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        redis_server.running(Path(below)) as redis,
        ModelServer(embedder=_vectors) as model,
        site.running(Path(folder), **_settings(redis, model), **settings) as up,
    ):
        on = Stage(up, redis, model, keys(up), patience, model_seconds)
        on.forget()
        yield on


def _settings(redis: Server, model: ModelServer) -> dict[str, str]:
    return {
        "REDIS_URL": redis.direct,
        "EMBEDDING_PROVIDER": "openai",
        "EMBEDDING_MODEL": "bag",
        "EMBEDDING_DIMENSIONS": str(_DIMENSIONS),
        "EMBEDDING_BASE_URL": model.url,
        "EMBEDDING_API_KEY": "sk-chaos",
        # A parser's own limits, small: what breaks them is told soon.
        "PARSE_SECONDS": "4",
        "PARSE_MEMORY_BYTES": str(256 << 20),
        "PYTHONPATH": poison.PYTHONPATH,
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
    }


def _vectors(texts: Sequence[str], _: int | None) -> Any:
    return model_answers.bags_of_words(texts, _DIMENSIONS)


def settle(on: Stage) -> float:
    """Waits until nothing is in work, or for so long nothing has ended; how long that took, in seconds."""
    began = changed = time.monotonic()
    left = -1
    while left != 0 and time.monotonic() - changed < on.patience:
        time.sleep(0.2)
        now = unfinished(on)
        if now != left:
            left, changed = now, time.monotonic()
    return round(time.monotonic() - began, 1)


def unfinished(on: Stage) -> int:
    """How many documents are not at their ends; -1 while nobody can be asked."""
    with suppress(psycopg.OperationalError), psycopg.connect(on.database) as connection:
        select = "SELECT count(*) FROM documents_document WHERE status IN ('queued', 'processing')"
        [(count,)] = connection.execute(select).fetchall()
        return int(count)
    return -1


def count(on: Stage) -> int:
    """How many documents there are."""
    with psycopg.connect(on.database) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM documents_document").fetchall()
        return int(count)
