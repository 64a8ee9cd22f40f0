"""A plain question read by hand: the same `Ask` as `QueryIn` makes, for a tenth of the time.

It accepts only what it is sure of. What it leaves, be it wrong or merely unusual, is for `QueryIn` to judge.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from queries.answers import Ask
from queries.models import Query
from queries.serializers import MAX_NAME, MAX_QUESTION, MAX_TOP_K

_ROUTES = frozenset({"auto", *Query.Route.values})


def ask(body: bytes) -> Ask | None:
    """What a JSON body asks of the cache, and of no stream; None for what `QueryIn` has to look at."""
    try:
        data = _JSON.decode(body.decode())
        if type(data) is not dict or not all(_FIELDS[name](value) for name, value in data.items()):
            return None
        return Ask(
            question=data["question"].strip(),
            top_k=data.get("top_k"),
            collection=_stripped(data, "collection"),
            route=data.get("route", "auto"),
            database=_stripped(data, "database"),
        )
    # No UTF-8, no JSON, a field unknown, no question, too deep.
    except (ValueError, KeyError, RecursionError):
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON.")


_JSON = json.JSONDecoder(parse_constant=_no_constant)


def _text(longest: int) -> Callable[[Any], bool]:
    """Raises UnicodeEncodeError, a ValueError, for half a character."""

    def check(value: Any) -> bool:
        return (
            type(value) is str
            and 0 < len(value.strip()) <= longest
            and "\0" not in value
            and (value.isascii() or bool(value.encode()))
        )

    return check


def _optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "question": _text(MAX_QUESTION),
    "top_k": _optional(lambda value: type(value) is int and 1 <= value <= MAX_TOP_K),
    "collection": _optional(_text(MAX_NAME)),
    "document_ids": lambda value: value is None,
    "metadata": lambda value: value is None,
    "created_at": lambda value: value is None,
    "ready_at": lambda value: value is None,
    "route": lambda value: type(value) is str and value in _ROUTES,
    "database": _optional(_text(MAX_NAME)),
    "stream": lambda value: value is False,
    "use_cache": lambda value: value is True,
}


def _stripped(data: Mapping[str, Any], name: str) -> str | None:
    value: str | None = data.get(name)
    return None if value is None else value.strip()
