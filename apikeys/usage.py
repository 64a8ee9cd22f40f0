"""The record of use: one row for every authenticated request.

A record is appended to a Redis stream before the answer goes out and reaches Postgres in batches (`write`), at
least once; the request's id as primary key makes it exactly once. Without Redis it goes to Postgres directly.

What a request reserved in budgets (`apikeys.budgets`) is settled in the same step, whatever became of the request.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.http import HttpRequest
from redis import Redis
from rest_framework.request import Request

from apikeys import tabs
from apikeys.callers import Caller
from apikeys.spending import Spent
from apikeys.tabs import Tab
from ragsite.lib import months, redis_client, row_security
from ragsite.lib.identifiers import made_at
from ragsite.lib.middleware import elapsed_ms, request_id
from ragsite.lib.money import micro

STREAM = "records"
_PAGE = 1_000  # records of the stream that are read at once
FIRST_ERROR = 400  # HTTP's: what lies below is a success
_RECORDED = "ragsite.recorded"  # in request.META
COLUMNS = {
    "id": "uuid",
    "tenant_id": "uuid",
    "key_id": "uuid",
    "user_id": "uuid",
    "created_at": "timestamptz",
    "endpoint": "text",
    "method": "text",
    "status": "integer",
    "success": "boolean",
    "milliseconds": "float8",
    "from_cache": "boolean",
    "prompt_tokens": "bigint",
    "completion_tokens": "bigint",
    "cost_usd": "numeric",
}
# One array a column: one statement and one plan, however many rows.
_ROWS = f"unnest({', '.join(f'%s::{kind}[]' for kind in COLUMNS.values())})"
# What was really written counts for its key (`apikeys.tally`), in the same statement.
_INSERT = (
    f"WITH written AS (INSERT INTO apikeys_usage ({', '.join(COLUMNS)}) SELECT * FROM {_ROWS}"  # noqa: S608  constants
    " ON CONFLICT (id) DO NOTHING RETURNING tenant_id, key_id, created_at), tallied AS ("
    " INSERT INTO apikeys_tally (tenant_id, key_id, requests, used_at)"
    " SELECT tenant_id, key_id, count(*), max(created_at) FROM written WHERE key_id IS NOT NULL GROUP BY 1, 2)"
    " SELECT count(*) FROM written"
)
# Admission notes a hit before the request knows that it got one: Redis may answer too late, or with what is no answer,
# and the note may come to be written all the same. What the request itself has recorded since is the truth.
_CORRECT = (
    "UPDATE apikeys_usage AS noted"  # noqa: S608  constants
    f" SET {', '.join(f'{name} = told.{name}' for name in COLUMNS)}"
    f" FROM {_ROWS} AS told ({', '.join(COLUMNS)})"
    " WHERE noted.id = told.id AND noted.from_cache AND NOT told.from_cache"
)
# What the columns hold. A record beyond that is cut rather than lost, and rather than hold up its whole batch.
MAX_ENDPOINT, MAX_METHOD = 100, 10
_SETTLE = redis_client.Script((Path(__file__).parent / "settle.lua").read_text(encoding="utf-8"))


_stale: set[str] = set()  # counters in Redis that have missed what was written to Postgres directly


@dataclass(frozen=True, slots=True)
class Entry:
    id: UUID
    tenant_id: UUID
    endpoint: str
    method: str
    status: int
    milliseconds: float
    key_id: UUID | None = None
    user_id: UUID | None = None
    from_cache: bool = False
    spent: Spent = field(default_factory=Spent)

    def row(self) -> tuple[Any, ...]:
        """The values of COLUMNS. When it was is told by the id."""
        spent = self.spent.within_bounds()
        return (
            self.id,
            self.tenant_id,
            self.key_id,
            self.user_id,
            made_at(self.id),
            self.endpoint[:MAX_ENDPOINT],
            self.method[:MAX_METHOD],
            self.status,
            self.status < FIRST_ERROR,
            max(0.0, float(self.milliseconds)) if math.isfinite(self.milliseconds) else 0.0,
            self.from_cache,
            spent.prompt_tokens,
            spent.completion_tokens,
            spent.cost_usd,
        )


def mark_recorded(request: HttpRequest | Request) -> None:
    """Admission has recorded this request already, in the round trip that found its answer."""
    request.META[_RECORDED] = True


def is_recorded(request: HttpRequest | Request) -> bool:
    return bool(request.META.get(_RECORDED))


def endpoint(request: HttpRequest | Request) -> str:
    """The route rather than the path, so that usage is counted by endpoint and holds no ids."""
    match = request.resolver_match
    return f"/{match.route}" if match else "unknown"


def record_request(request: HttpRequest | Request, caller: Caller, *, status: int) -> None:
    record(
        Entry(
            id=request_id(request),
            tenant_id=caller.tenant_id,
            key_id=caller.key_id,
            user_id=caller.person_id,
            endpoint=endpoint(request),
            method=str(request.method),
            status=status,
            milliseconds=elapsed_ms(request),
        )
    )


def record(entry: Entry) -> None:
    """Keeps a record safe before the request is answered: on the stream, or else in Postgres."""
    owed = tabs.close(entry.id)
    if owed is not None:
        entry = replace(entry, from_cache=owed.from_cache, spent=owed.spent())
    try:
        redis_client.guarded(lambda client: _append(client, entry, owed))
    except redis_client.DOWN:
        write([entry])
        if owed is not None and entry.spent.cost_usd:
            _stale.update(f"spent:{account}:{_month(entry)}" for account in owed.accounts)


def settle(entry: Entry) -> None:
    """As `record`, for work that is no request of its own: it is recorded only if it took something from models."""
    if tabs.of(entry.id).taken:
        record(entry)
    else:
        tabs.close(entry.id)


def _append(client: Redis, entry: Entry, owed: Tab | None) -> None:
    fields: dict[Any, Any] = to_stream(entry)
    if owed is None or not owed.accounts:
        client.xadd(STREAM, fields)
    else:
        cost = micro(entry.spent.cost_usd)
        accounts = [str(account) for account in owed.accounts]
        settled: list[Any] = [_month(entry), cost, len(accounts), *accounts, len(owed.held), *owed.held]
        pairs = [part for pair in fields.items() for part in pair]
        _SETTLE(client, keys=[STREAM], arguments=[*settled, *pairs])
    for name in list(_stale):  # another thread may take them away meanwhile
        _stale.discard(name)
        try:
            client.delete(name)
        except redis_client.DOWN:
            _stale.add(name)
            break  # the record is kept, and must not be written twice


def _month(entry: Entry) -> str:
    """That of the request's id, as in the sum of records that a counter is made of."""
    return months.name(made_at(entry.id))


def to_stream(entry: Entry) -> dict[str, str]:
    """The form in which `admit.lua` writes a record as well; what is absent has its default."""
    return {
        "id": str(entry.id),
        "tenant": str(entry.tenant_id),
        "key": str(entry.key_id or ""),
        "user": str(entry.user_id or ""),
        "endpoint": entry.endpoint,
        "method": entry.method,
        "status": str(entry.status),
        "ms": str(entry.milliseconds),
        "from_cache": "1" if entry.from_cache else "",
        "prompt_tokens": str(entry.spent.prompt_tokens),
        "completion_tokens": str(entry.spent.completion_tokens),
        "cost_usd": str(entry.spent.cost_usd),
    }


def on_stream(client: Redis) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
    """Every record that waits there, with its place; page by page, so that each comes within Redis's timeout."""
    start = "-"
    while True:
        page: Any = client.xrange(STREAM, min=start, count=_PAGE)
        if not page:
            return
        yield from page
        start = f"({page[-1][0].decode()}"


def from_stream(fields: Mapping[str, str]) -> Entry:
    """The record as it was appended; raises KeyError, ValueError or ArithmeticError for what is none."""
    return Entry(
        id=UUID(fields["id"]),
        tenant_id=UUID(fields["tenant"]),
        key_id=UUID(fields["key"]) if fields.get("key") else None,
        user_id=UUID(fields["user"]) if fields.get("user") else None,
        endpoint=fields["endpoint"],
        method=fields["method"],
        status=int(fields["status"]),
        milliseconds=float(fields["ms"]),
        from_cache=bool(fields.get("from_cache")),
        spent=Spent(
            prompt_tokens=int(fields.get("prompt_tokens", 0)),
            completion_tokens=int(fields.get("completion_tokens", 0)),
            cost_usd=Decimal(fields.get("cost_usd", 0)),
        ),
    )


@transaction.atomic
def write(entries: Iterable[Entry]) -> None:
    """Copies records into Postgres. One that is there already stays, unless it tells of a cache hit that was none."""
    # In one order, so that two writers cannot deadlock; of two with one id the one that knows better comes first.
    ranked = sorted(entries, key=lambda entry: (entry.id, entry.from_cache))
    rows = [entry.row() for entry in ranked]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in COLUMNS]
    with row_security.across(), connection.cursor() as cursor:  # a batch holds many tenants' records
        cursor.execute(_INSERT, columns)
        if cursor.fetchone()[0] < len(rows):
            cursor.execute(_CORRECT, columns)
