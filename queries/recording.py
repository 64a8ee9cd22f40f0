"""Moves records from the Redis stream into Postgres: at least once, acknowledged after the commit.

The rows' ids are the requests' ids, so that a record delivered twice is written once. A record that a dead
process had taken and not acknowledged is taken over after a while.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from redis import Redis, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

from apikeys import usage
from apikeys.usage import STREAM, Entry
from queries import history
from queries.history import Hit
from ragsite.lib import row_security

GROUP = "recorders"
BATCH = 1_000
BLOCK_MS = 250  # how late the process may notice that it is to stop
# Records that come in meanwhile are written together: a transaction for each would cost more than the rows.
GATHER_SECONDS = 0.25
ABANDONED_MS = 10_000

# What becomes of a value that the database cannot hold, here or there; beside Django's cursor it is psycopg's own error.
REFUSED = (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError, ValueError, ArithmeticError)

logger = structlog.get_logger(__name__)

Entries = Sequence[tuple[bytes, Mapping[bytes, bytes]]]


def client() -> Redis:
    """A connection of its own: it waits for records longer than a request may wait for Redis.

    It tries each command once: what follows a failure is `prepare`, and being told to stop is heard in between.
    """
    return Redis.from_url(
        settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
    )


def prepare(redis: Redis) -> None:
    try:
        redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def drain(redis: Redis, *, block_ms: int | None = BLOCK_MS) -> int:
    """Writes one batch, what was left behind first; returns how many records. Waits up to `block_ms` for some."""
    entries = _left_behind(redis) or _new(redis, block_ms)
    if entries:
        _write([record for record in (_read(fields) for _, fields in entries) if record is not None])
        _acknowledge(redis, [entry_id for entry_id, _ in entries])
    return len(entries)


def _consumer() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _left_behind(redis: Redis) -> Entries:
    """What a dead process had taken, and what this one could not write; a record that was deleted has no fields."""
    redis.xautoclaim(STREAM, GROUP, _consumer(), ABANDONED_MS, count=BATCH)
    return _group(redis, "0", block_ms=None)


def _new(redis: Redis, block_ms: int | None) -> Entries:
    return _group(redis, ">", block_ms=block_ms)


def _group(redis: Redis, after: str, *, block_ms: int | None) -> Entries:
    reply: Any = redis.xreadgroup(GROUP, _consumer(), {STREAM: after}, count=BATCH, block=block_ms)
    return reply[0][1] if reply else []


def _acknowledge(redis: Redis, ids: list[bytes]) -> None:
    with redis.pipeline() as pipeline:
        pipeline.xack(STREAM, GROUP, *ids)
        pipeline.xdel(STREAM, *ids)
        pipeline.execute()


Record = tuple[Entry, Hit | None]
"""A record of use, and for an answer from the cache its row of history."""


def _read(fields: Mapping[bytes, bytes] | None) -> Record | None:
    """None for what was deleted, and for what no ragsite wrote, which must not hold up the rest."""
    if not fields:
        return None
    record = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    try:
        return usage.from_stream(record), _hit(record) if record.get("answer") else None
    except (KeyError, ValueError, ArithmeticError):
        logger.exception("a record on the stream could not be read, and was dropped")
        return None


def _hit(record: Mapping[str, str]) -> Hit:
    return Hit(
        id=UUID(record["id"]),
        tenant_id=UUID(record["tenant"]),
        key_id=UUID(record["key"]) if record.get("key") else None,
        user_id=UUID(record["user"]) if record.get("user") else None,
        question=record["question"].replace("\0", "\ufffd"),
        answer=UUID(record["answer"]),
        milliseconds=float(record["ms"]),
    )


def _write(records: Sequence[Record]) -> None:
    """In one transaction; or in two halves where the database refuses one, down to the record that it refuses."""
    if not records:
        return
    try:
        _write_batch(records)
    except REFUSED:
        if len(records) == 1:
            logger.exception("a record on the stream could not be written, and was dropped")
            return
        middle = len(records) // 2
        _write(records[:middle])
        _write(records[middle:])


@transaction.atomic
def _write_batch(records: Sequence[Record]) -> None:
    with row_security.across():
        usage.write(entry for entry, _ in records)
        history.save_hits([hit for _, hit in records if hit is not None])
