"""Requests of two tenants and an operator over a few pooled connections, as a web server hands them over."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import psycopg
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections, transaction
from django.test import RequestFactory

from accounts.tenancy import TenantQuerySet
from queries import history
from queries.models import Query
from ragsite.lib import row_security

THREADS, CONNECTIONS = 6, 3
LISTS = ("/api/history", "/api/documents", "/api/history?limit=1")
ADMIN = "/admin/documents/collection/"

# What goes wrong in the view's midst, in this thread's present request.
_fault: ContextVar[str] = ContextVar("fault", default="")


class Person(NamedTuple):
    """Who asks: headers, a word that stands in every list of theirs, and the other tenant's."""

    headers: dict[str, str]
    own: str
    others: str


class Asked(NamedTuple):
    person: Person
    method: str
    path: str
    fault: str = ""


# What is asked -----------------------------------------------------------------------------------------------


def plan(people: Sequence[Person], operator: Person, *, how_many: int) -> Iterator[Asked]:
    """A tenth ends badly, each time in another way; one in 100 crosses tenants, as operators do; some are streams."""
    faults = [*FAULTS, "leaves"]
    programs = [
        person for person in people if "X-API-Key" in person.headers
    ]  # a browser's POST takes a token more
    for number in range(how_many):
        person = people[number % len(people)]
        turn, place = divmod(number, 10)
        if place == turn % 10:  # so that each person meets every fault
            fault = faults[turn % len(faults)]
            yield (
                Asked(programs[number % len(programs)], "POST", "/api/query", fault)
                if fault == "leaves"
                else Asked(person, "GET", "/api/history", fault)
            )
        elif number % 100 == 55:
            yield Asked(operator, "GET", ADMIN)
        elif number % 50 == 33:
            yield Asked(programs[number % len(programs)], "POST", "/api/query")
        else:
            yield Asked(person, "GET", LISTS[number % len(LISTS)])


def _division() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def _in_transaction(fail: Callable[[], None]) -> None:
    with transaction.atomic():
        Query.objects.count()
        fail()


def _raised() -> None:
    raise RuntimeError("planted")


def _left_open() -> None:
    """A transaction that nobody ends."""
    transaction.set_autocommit(False)
    Query.objects.count()
    _raised()


FAULTS: dict[str, Callable[[], None]] = {
    "raised": _raised,
    "raised in a transaction": lambda: _in_transaction(_raised),
    "statement refused": _division,
    "statement refused in a transaction": lambda: _in_transaction(_division),
    "transaction left open": _left_open,
}


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the list of history fail once the caller is known and the database was asked."""
    visible = history.visible

    def failing(caller: Any) -> TenantQuerySet[Any]:
        rows = visible(caller)
        if _fault.get():
            rows.first()
            FAULTS[_fault.get()]()
        return rows

    monkeypatch.setattr(history, "visible", failing)


# Asking ------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What came of it. `looks`: how often a connection was looked at that came back to the pool."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    looks: int = 0


def ask_all(asked: Iterator[Asked], seen: Seen) -> None:
    """Each thread takes the next request as soon as it is free, as gunicorn's do."""
    handler, factory = WSGIHandler(), RequestFactory()

    def work(mine: Asked) -> None:
        token = _fault.set(mine.fault)
        try:
            _ask(mine, handler, factory, seen)
        finally:
            _fault.reset(token)

    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(islice(asked, 500)):
            list(pool.map(work, some))


def _ask(asked: Asked, handler: WSGIHandler, factory: RequestFactory, seen: Seen) -> None:
    question = f"How old is the {asked.person.own}, again?"
    body = json.dumps({"question": question, "stream": True, "use_cache": False}).encode()
    request = factory.generic(
        asked.method,
        asked.path,
        body if asked.method == "POST" else b"",
        content_type="application/json",
        headers=asked.person.headers,
    )
    told: list[str] = []
    answer = _hand_over(handler, request.environ, told)
    try:  # whoever leaves has read one piece
        text = b"".join(islice(answer, 1) if asked.fault == "leaves" else answer).decode()
    finally:
        answer.close()
    seen.statuses[told[0]] += 1
    if row_security.is_set():
        seen.faults.append(f"{asked}: its thread goes on with its rows")
    expected = "500" if asked.fault in FAULTS else "200"
    if told[0] != expected or (told[0] == "200" and asked.person.own not in text):
        seen.faults.append(f"{asked}: {told[0]} {text[:300]}")
    if asked.person.others and asked.person.others in text:
        seen.faults.append(f"{asked}: it was shown another tenant's rows: {text[:300]}")


def _hand_over(handler: Any, environ: dict[str, Any], told: list[str]) -> Any:
    """The answer's body; its status is appended to `told`."""
    return handler(environ, lambda status, _: told.append(status[:3]))


# The pool ----------------------------------------------------------------------------------------------------


@contextmanager
def small_pool(seen: Seen) -> Iterator[None]:
    """A pool of a few connections, each of which is looked at, past Django, whenever it is given back."""
    options: dict[str, Any] = connections["default"].settings_dict["OPTIONS"]
    ordinary, look = options["pool"], _look(seen)
    _empty_pool()
    options["pool"] = {**ordinary, "max_size": CONNECTIONS, "timeout": 30, "reset": look}
    try:
        yield
    finally:
        _empty_pool()
        options["pool"] = ordinary


def _empty_pool() -> None:
    default: Any = connections["default"]
    default.close()
    default.close_pool()


def _look(seen: Seen) -> Callable[[psycopg.Connection[Any]], None]:
    """Sees what a statement that nobody announced anything for would see."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relforcerowsecurity ORDER BY 1")
        tables = [name for (name,) in cursor.fetchall()]
    rows = ", ".join(f"CASE WHEN EXISTS (SELECT FROM \"{table}\") THEN '{table}' END" for table in tables)
    prepare = f"""
    PREPARE look AS SELECT concat_ws(' ', nullif(current_setting('ragsite.tenant', true), ''),
        nullif(current_setting('ragsite.across', true), ''), {rows})
    """
    prepared: set[psycopg.Connection[Any]] = set()

    def look(returned: psycopg.Connection[Any]) -> None:
        if returned not in prepared:
            returned.execute(prepare)
            prepared.add(returned)
        found = returned.execute("EXECUTE look").fetchone()
        returned.rollback()
        seen.looks += 1
        if found != ("",):
            seen.faults.append(f"a connection came back with {found}")

    return look
