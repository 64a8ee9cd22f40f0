"""Compares what was answered with what is on record: usage rows, and rows of the history."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from redis import Redis, ResponseError
from redis import exceptions as redis_errors

from tests import site
from tests.chaos.calls import QUERY, Outcome

# Their names, and not an import: the apps want settings, and those belong to the site that is watched.
STREAM, GROUP = "records", "recorders"
UNAVAILABLE = 503
SETTLED_SECONDS = (
    120.0  # what was killed often starts ten seconds late, and a killed recorder's records wait for ten more
)


@dataclass
class Books:
    """How many requests of each sort; every list of ids is empty where all is well.

    `unanswered` were sent and nobody heard the answer: each may have a row (`kept`), and need not.
    `undecided` were answered 503 and are in the history as answered: Postgres died after the commit and before saying so.
    `strangers` were answered before anyone knew whose they were, and have none.
    """

    sent: int = 0
    answered: int = 0
    unanswered: int = 0
    kept: int = 0
    undecided: int = 0
    strangers: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    no_history: list[str] = field(default_factory=list)
    surplus_history: list[str] = field(default_factory=list)
    miscounted_keys: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Of each list, how long it is."""
        return {
            name: len(found) if isinstance(found, list) else found for name, found in asdict(self).items()
        }

    def faults(self) -> dict[str, list[str]]:
        return {name: found for name, found in asdict(self).items() if isinstance(found, list) and found}


def balance(outcomes: Sequence[Outcome], *, database: str, redis: str) -> Books:
    """Waits until both servers are up and the stream is empty, and compares. The keys of the calls must have been used for nothing else."""
    _await_empty_stream(redis)
    site.wait_for(lambda: is_up(database))
    keys = {outcome.call.key for outcome in outcomes if outcome.call.key}
    with psycopg.connect(database) as connection:
        usage = _rows(connection, "SELECT id, status, from_cache, key_id FROM apikeys_usage", keys)
        history = _rows(connection, "SELECT id, status, from_cache, key_id FROM queries_query", keys)
        counted = connection.execute(
            "SELECT id, usage_count + coalesce((SELECT sum(requests) FROM apikeys_tally WHERE key_id = key.id), 0)"
            " FROM apikeys_apikey AS key WHERE id = ANY(%s)",
            [list(keys)],
        ).fetchall()
    books = _count(outcomes)
    known = {outcome.id: outcome for outcome in outcomes if outcome.id and outcome.admitted}
    _compare_usage(books, known, usage)
    _compare_history(books, known, history)
    rows_of = Counter(row[3] for row in usage)
    books.miscounted_keys = [
        f"{key}: {count} counted, {rows_of[key]} rows" for key, count in counted if count != rows_of[key]
    ]
    return books


def _count(outcomes: Iterable[Outcome]) -> Books:
    outcomes = list(outcomes)
    answered = [outcome for outcome in outcomes if outcome.id]
    return Books(
        sent=len(outcomes),
        answered=len(answered),
        unanswered=len(outcomes) - len(answered),
        strangers=sum(not outcome.admitted for outcome in answered),
        statuses=dict(sorted(Counter(f"{o.call.kind} {o.status}" for o in outcomes).items())),
    )


def _compare_usage(books: Books, known: Mapping[UUID, Outcome], rows: list[Any]) -> None:
    ids = Counter(row[0] for row in rows)
    books.missing = [f"{found.call.kind} {found.status} {pk}" for pk, found in known.items() if not ids[pk]]
    books.surplus = [f"twice {pk}" for pk, times in ids.items() if times > 1]
    for pk, status, from_cache, _ in rows:
        found = known.get(pk)
        if found and (found.status, found.from_cache) != (status, from_cache):
            books.wrong.append(
                f"{pk} {found.call.kind} {found.status} {found.from_cache}: {status} {from_cache}"
            )
    books.kept = sum(pk not in known for pk in ids)
    if books.kept > books.unanswered:
        books.surplus.append(f"{books.kept} rows for {books.unanswered} requests that nobody heard of again")


def _compare_history(books: Books, known: Mapping[UUID, Outcome], rows: list[Any]) -> None:
    ids = Counter(row[0] for row in rows)
    books.surplus_history = [f"twice {pk}" for pk, times in ids.items() if times > 1]
    books.no_history = [
        f"{found.call.kind} {pk}"
        for pk, found in known.items()
        if found.status == 200 and found.call.path == QUERY and not ids[pk]
    ]
    for pk, status, from_cache, _ in rows:
        found = known.get(pk)
        if found and found.status == UNAVAILABLE and status != "failed":
            books.undecided += 1
        elif found and found.status != 200 and status != "failed":
            books.surplus_history.append(f"{pk} {found.call.kind} was answered {found.status}")
        if found and found.status == 200 and found.from_cache != from_cache:
            books.surplus_history.append(f"{pk} {found.call.kind} says it was from the cache: {from_cache}")
    unheard = sum(pk not in known for pk in ids)
    if unheard > books.unanswered:
        books.surplus_history.append(f"{unheard} rows for {books.unanswered} requests")


def _rows(connection: psycopg.Connection, select: str, keys: set[UUID]) -> list[Any]:
    return connection.execute(f"{select} WHERE key_id = ANY(%s)", [list(keys)]).fetchall()


def _await_empty_stream(url: str) -> None:
    with Redis.from_url(url) as redis:
        site.wait_for(lambda: _is_empty(redis), seconds=SETTLED_SECONDS)


def _is_empty(redis: Redis) -> bool:
    try:
        waiting: Any = redis.xpending(STREAM, GROUP)
    except redis_errors.ConnectionError:  # the last kill may have been a moment ago
        return False
    except ResponseError:  # the stream, or its group, is not there yet
        return not redis.exists(STREAM)
    return not redis.xlen(STREAM) and not waiting["pending"]


def is_up(database: str) -> bool:
    try:
        psycopg.connect(database).close()
    except psycopg.OperationalError:
        return False
    return True
