"""Moves records from the Redis stream into Postgres: at least once, acknowledged after the commit.

The rows' ids are the requests' ids, so that a record delivered twice is written once. A record that a dead
process had taken and not acknowledged is taken over after a while.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from redis import Redis, ResponseError

from apikeys import usage
from apikeys.admission import STREAM
from queries import history
from ragsite.lib.identifiers import made_at

GROUP = "recorders"
BATCH = 1_000
BLOCK_MS = 1_000
ABANDONED_MS = 10_000

logger = structlog.get_logger(__name__)

Entries = Sequence[tuple[bytes, Mapping[bytes, bytes]]]


def client() -> Redis:
    """A connection of its own: it waits for records longer than a request may wait for Redis."""
    return Redis.from_url(settings.REDIS_URL, socket_timeout=10, socket_connect_timeout=2)


def prepare(redis: Redis) -> None:
    try:
        redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def drain(redis: Redis, *, block_ms: int | None = BLOCK_MS) -> int:
    """Writes one batch, what was abandoned first; returns how many records. Waits up to `block_ms` for some."""
    entries = _abandoned(redis) or _new(redis, block_ms)
    if entries:
        _write(entries)
        ids = [entry_id for entry_id, _ in entries]
        with redis.pipeline() as pipeline:
            pipeline.xack(STREAM, GROUP, *ids)
            pipeline.xdel(STREAM, *ids)
            pipeline.execute()
    return len(entries)


def _consumer() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _abandoned(redis: Redis) -> Entries:
    reply: Any = redis.xautoclaim(STREAM, GROUP, _consumer(), ABANDONED_MS, count=BATCH)
    return [(entry_id, fields) for entry_id, fields in reply[1] if fields]


def _new(redis: Redis, block_ms: int | None) -> Entries:
    reply: Any = redis.xreadgroup(GROUP, _consumer(), {STREAM: ">"}, count=BATCH, block=block_ms)
    return reply[0][1] if reply else []


@transaction.atomic
def _write(entries: Entries) -> None:
    records = [_read(fields) for _, fields in entries]
    known = [record for record in records if record is not None]
    usage.write(usage.from_stream(record) for record in known)
    history.save_hits([_hit(record) for record in known if record.get("answer")])


def _read(fields: Mapping[bytes, bytes]) -> dict[str, str] | None:
    """A record's fields; None for what no ragsite wrote, which must not hold up the rest."""
    record = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    try:
        usage.from_stream(record)
    except (KeyError, ValueError, ArithmeticError):
        logger.exception("a record on the stream could not be read, and was dropped")
        return None
    return record


def _hit(record: Mapping[str, str]) -> dict[str, Any]:
    identifier = UUID(record["id"])
    return {
        "id": identifier,
        "tenant": UUID(record["tenant"]),
        "key": UUID(record["key"]) if record.get("key") else None,
        "user": UUID(record["user"]) if record.get("user") else None,
        "question": record["question"].replace("\0", "\ufffd"),
        "answer": UUID(record["answer"]),
        "ms": float(record["ms"]),
        "created": made_at(identifier),
    }
