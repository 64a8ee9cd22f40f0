"""Records on their way from Redis into Postgres: none is lost, none counts twice, none holds up the others."""

import os
import signal
import subprocess
import sys
import time
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from apikeys import tally, usage
from apikeys.models import APIKey, Usage
from apikeys.usage import STREAM
from queries import recording
from queries.management.commands.record import Command
from queries.models import Query
from ragsite.lib import redis_client
from ragsite.lib.identifiers import uuid7
from tests.makers import Party

pytestmark = pytest.mark.django_db


@pytest.fixture
def redis() -> Redis:
    recording.prepare(redis_client.client())
    return redis_client.client()


def add(redis: Redis, party: Party, **changes: Any) -> UUID:
    """A record on the stream, as a request by the party's key leaves it."""
    entry = usage.Entry(
        id=uuid7(), tenant_id=party.tenant.pk, key_id=party.key.pk, endpoint="/api/query", method="POST",
        status=200, milliseconds=3.5,
    )  # fmt: skip
    fields: dict[Any, Any] = {**usage.to_stream(entry), **changes}
    redis.xadd(STREAM, fields)
    return entry.id


def drain(redis: Redis) -> int:
    return recording.drain(redis, block_ms=None)


def written() -> set[UUID]:
    return set(Usage.objects.across_tenants().values_list("pk", flat=True))


def test_a_crash_between_commit_and_acknowledgement_writes_once(
    ours: Party, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {add(redis, ours) for _ in range(3)}
    with monkeypatch.context() as crash:
        crash.setattr(recording, "_acknowledge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            drain(redis)
    assert drain(redis) == 3
    assert written() == ids
    tally.fold()
    assert APIKey.objects.for_tenant(ours.tenant).get().usage_count == 3
    assert (redis.xlen(STREAM), redis.xpending(STREAM, recording.GROUP)["pending"]) == (0, 0)


def test_what_a_dead_process_had_taken_is_taken_over(
    ours: Party, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = add(redis, ours)
    redis.xreadgroup(recording.GROUP, "dead:1", {STREAM: ">"})
    assert drain(redis) == 0
    monkeypatch.setattr(recording, "ABANDONED_MS", 0)
    assert drain(redis) == 1
    assert written() == {identifier}


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "no id"},
        {"id": "05342534-b5e0-4142-bd99-b78df404d86a"},
        {"tenant": ""},
        {"status": "many"},
        {"status": "999999999999"},
        {"ms": "nan"},
        {"endpoint": "x" * 500},
        {"endpoint": "a\0b"},
        {"cost_usd": "NaN"},
        {"cost_usd": "1e40"},
        {"prompt_tokens": "-5"},
        {"prompt_tokens": str(10**30)},
        {"answer": "garbage", "question": "?"},
        {"answer": "01a1fc1a-cecb-72d5-bfdd-128ef8356455"},
    ],
    ids=str,
)
def test_a_malformed_entry_does_not_hold_up_others(ours: Party, redis: Redis, wrong: dict[str, str]) -> None:
    before = add(redis, ours)
    add(redis, ours, **wrong)
    redis.xadd(STREAM, {b"\xff": b"\xff"})
    after = add(redis, ours)
    assert drain(redis) == 4
    assert {before, after} <= written()
    assert redis.xpending(STREAM, recording.GROUP)["pending"] == 0


def test_records_of_a_deleted_tenant_do_not_hold_up_others(ours: Party, theirs: Party, redis: Redis) -> None:
    add(redis, theirs, answer=str(uuid7()), question="Theirs?")
    ours_id = add(redis, ours)
    theirs.tenant.delete()
    assert drain(redis) == 2
    assert ours_id in written()


def test_what_was_deleted_is_not_written(ours: Party, redis: Redis) -> None:
    add(redis, ours)
    redis.xreadgroup(recording.GROUP, recording._consumer(), {STREAM: ">"})
    redis.xtrim(STREAM, maxlen=0)
    drain(redis)
    assert written() == set()
    assert redis.xpending(STREAM, recording.GROUP)["pending"] == 0


def test_a_hostile_question_is_kept_as_text(ours: Party, redis: Redis) -> None:
    identifier = add(redis, ours, answer=str(uuid7()), question="a\0b'; DROP TABLE x; --😀")
    drain(redis)
    assert Query.objects.for_tenant(ours.tenant).get(pk=identifier).question.startswith("a\ufffdb'; DROP")


@pytest.mark.parametrize(
    "lost",
    [
        OperationalError("the database is starting up"),
        InterfaceError("connection already closed"),
        psycopg.OperationalError("server closed the connection"),
        psycopg.InterfaceError("the connection is closed"),
        RedisConnectionError("refused"),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_a_restart_of_a_server_does_not_end_the_process(
    lost: Exception, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    command = Command()
    calls: list[int] = []

    def drains(*_: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise lost
        command.stop()
        return 0

    monkeypatch.setattr(recording, "drain", drains)
    monkeypatch.setattr("queries.management.commands.record.close_old_connections", lambda: None)
    monkeypatch.setattr("queries.management.commands.record.sleep", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    call_command(command)
    assert len(calls) == 2


@pytest.mark.django_db(transaction=True)
def test_the_command_writes_and_stops_soon_after_being_told(ours: Party, redis: Redis) -> None:
    database = connection.settings_dict
    url = f"postgresql:///{database['NAME']}?host={database['HOST']}&user={database['USER']}&port={database['PORT']}"
    process = subprocess.Popen(
        [sys.executable, "manage.py", "record"],
        env={**os.environ, "DATABASE_URL": url},
        stderr=subprocess.PIPE,
    )
    try:
        identifier = add(redis, ours)
        ends = time.monotonic() + 30
        while identifier not in written():
            assert time.monotonic() < ends
            assert process.poll() is None
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert (
            time.monotonic() - began < 4
        )  # a second, and what a busy machine adds to the end of an interpreter
    finally:
        process.kill()
        process.communicate()
