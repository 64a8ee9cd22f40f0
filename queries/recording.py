"""Moves records of use from the Redis stream into Postgres. A record is acknowledged after the commit.

So it may be delivered twice, and is written once all the same: its id is that of the request. What a process took and
did not acknowledge before it died, another process takes over after a while.
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
from queries.history import CacheHit
from ragsite.lib import row_security

GROUP = "recorders"
BATCH = 1_000
BLOCK_MS = 250  # a process that is told to stop notices it within this time
# Between two batches, so that records are written together: a transaction costs more than the rows in it.
GATHER_SECONDS = 0.25
ABANDONED_MS = 10_000

# A value that the database cannot hold fails in Python or in Postgres; outside Django's cursor with psycopg's own
# error.
REFUSED = (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError, ValueError, ArithmeticError)

logger = structlog.get_logger(__name__)

Entries = Sequence[tuple[bytes, Mapping[bytes, bytes]]]


def client() -> Redis:
    """A connection that may wait longer than a request. It does not retry; its caller does, and can stop instead."""
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
    """Writes one batch and returns its size. Begins with records left behind; waits up to `block_ms` for new ones."""
    entries = _left_behind(redis) or _new(redis, block_ms)
    if entries:
        _write([record for record in (_read(fields) for _, fields in entries) if record is not None])
        _acknowledge(redis, [entry_id for entry_id, _ in entries])
    return len(entries)


def _consumer() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _left_behind(redis: Redis) -> Entries:
    """Records that a dead process took, or that this one could not write. One that was deleted has no fields."""
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


Record = tuple[Entry, CacheHit | None]
"""A record of use, and the cache hit that it tells of, if any."""


def _read(fields: Mapping[bytes, bytes] | None) -> Record | None:
    """None for a record that was deleted, or that cannot be read: one such record must not hold up the rest."""
    if not fields:
        return None
    record = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    try:
        return usage.from_stream(record), _hit(record) if record.get("answer") else None
    except (KeyError, ValueError, ArithmeticError):
        logger.exception("a record on the stream could not be read, and was dropped")
        return None


def _hit(record: Mapping[str, str]) -> CacheHit:
    return CacheHit(
        id=UUID(record["id"]),
        tenant_id=UUID(record["tenant"]),
        key_id=UUID(record["key"]) if record.get("key") else None,
        user_id=UUID(record["user"]) if record.get("user") else None,
        question=record["question"].replace("\0", "\ufffd"),
        origin=UUID(record["answer"]),
        milliseconds=float(record["ms"]),
    )


def _write(records: Sequence[Record]) -> None:
    """Writes all in one transaction. If the database refuses it, each half is tried, down to the bad record alone."""
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
        history.save_cache_hits([hit for _, hit in records if hit is not None])
