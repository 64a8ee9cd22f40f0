"""The record of use: one row for every authenticated request.

A record is appended to a Redis stream before the answer goes out and reaches Postgres in batches (`write`), at
least once; the request's id as primary key makes it exactly once. Without Redis it goes to Postgres directly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.http import HttpRequest
from rest_framework.request import Request

from apikeys.admission import STREAM
from apikeys.callers import Caller
from ragsite.lib import redis_client
from ragsite.lib.identifiers import made_at
from ragsite.lib.middleware import elapsed_ms, request_id

FIRST_ERROR = 400  # HTTP's: what lies below is a success
_RECORDED = "ragsite.recorded"  # in request.META
_SPENT = "ragsite.spent"
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
_INSERT = (
    f"INSERT INTO apikeys_usage ({', '.join(COLUMNS)}) SELECT * FROM {_ROWS}"  # noqa: S608  constants
    " ON CONFLICT (id) DO NOTHING RETURNING key_id, created_at"
)
# Admission notes a hit before the request knows that it got one: Redis may answer too late, or with what is no answer,
# and the note may come to be written all the same. What the request itself has recorded since is the truth.
_CORRECT = (
    f"UPDATE apikeys_usage AS noted SET {', '.join(f'{name} = told.{name}' for name in COLUMNS)}"  # noqa: S608  constants
    f" FROM {_ROWS} AS told ({', '.join(COLUMNS)})"
    " WHERE noted.id = told.id AND noted.from_cache AND NOT told.from_cache"
)
# What the columns hold. A record beyond that is cut rather than lost, and rather than hold up its whole batch.
MAX_ENDPOINT, MAX_METHOD = 100, 10
MAX_TOKENS = 2**31 - 1
MAX_COST = Decimal(999_999)


@dataclass(frozen=True, slots=True)
class Spent:
    """What an answer took from a model; cost in US dollars."""

    from_cache: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


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
    spent: Spent = field(default_factory=Spent)

    def row(self) -> tuple[Any, ...]:
        """The values of COLUMNS. When it was is told by the id."""
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
            float(self.milliseconds),
            self.spent.from_cache,
            min(self.spent.prompt_tokens, MAX_TOKENS),
            min(self.spent.completion_tokens, MAX_TOKENS),
            min(self.spent.cost_usd, MAX_COST),
        )


def spend(request: HttpRequest | Request, spent: Spent) -> None:
    """Notes on a request what its answer took."""
    request.META[_SPENT] = spent


def spent(request: HttpRequest | Request) -> Spent:
    found: Spent = request.META.get(_SPENT) or Spent()
    return found


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
            spent=spent(request),
        )
    )


def record(entry: Entry) -> None:
    """Keeps a record safe before the request is answered: on the stream, or else in Postgres."""
    fields: dict[Any, Any] = to_stream(entry)
    try:
        redis_client.guarded(lambda client: client.xadd(STREAM, fields))
    except redis_client.DOWN:
        write([entry])


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
        "from_cache": "1" if entry.spent.from_cache else "",
        "prompt_tokens": str(entry.spent.prompt_tokens),
        "completion_tokens": str(entry.spent.completion_tokens),
        "cost_usd": str(entry.spent.cost_usd),
    }


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
        spent=Spent(
            from_cache=bool(fields.get("from_cache")),
            prompt_tokens=int(fields.get("prompt_tokens", 0)),
            completion_tokens=int(fields.get("completion_tokens", 0)),
            cost_usd=Decimal(fields.get("cost_usd", 0)),
        ),
    )


@transaction.atomic
def write(entries: Iterable[Entry]) -> None:
    """Copies records into Postgres; a record that is there already is left as it is, unless it was a hit's and was none."""
    # In one order, so that two writers cannot deadlock; of two with one id the one that knows better comes first.
    ranked = sorted(entries, key=lambda entry: (entry.id, entry.spent.from_cache))
    rows = [entry.row() for entry in ranked]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in COLUMNS]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, columns)
        written = cursor.fetchall()
        if len(written) < len(rows):
            cursor.execute(_CORRECT, columns)
    _count(written)


def _count(written: Iterable[tuple[UUID | None, Any]]) -> None:
    """Adds what was really written to each key's count."""
    by_key: dict[UUID, list[Any]] = {}
    for key_id, moment in written:
        if key_id is not None:
            by_key.setdefault(key_id, []).append(moment)
    with connection.cursor() as cursor:
        for key_id, moments in sorted(by_key.items()):  # in one order, so that two writers cannot deadlock
            cursor.execute(
                "UPDATE apikeys_apikey SET usage_count = usage_count + %s,"
                " last_used_at = GREATEST(last_used_at, %s) WHERE id = %s",
                [len(moments), max(moments), key_id],
            )
