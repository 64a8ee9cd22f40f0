"""Filters by metadata: from a caller's JSON to one condition in Postgres's path language. Pure.

The operators are MongoDB's, which most vector databases have taken over. A filter is hostile input: its values go to
Postgres as the path's variables, its names as quoted strings, and it is bounded in depth, conditions and values. The
path knows no patterns, no recursion and no arithmetic, so that its cost is bounded as well.

Values are compared by type. A number never equals, exceeds or precedes a string; a string is ordered against nothing,
unless both are dates.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from documents.searching import dates
from documents.searching.dates import CODE
from ragsite.lib.errors import Invalid

MAX_DEPTH: Final = 8
MAX_CONDITIONS: Final = 32
MAX_VALUES: Final = 200

_ORDER: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS: Final = ("$eq", "$ne", *_ORDER, "$between", "$in", "$nin", "$contains", "$exists")
_JOINTS: Final = {"$and": "&&", "$or": "||"}
# Postgres before 17 does not read the Z of "2024-01-31T16:30:00Z" by itself; without a zone it takes UTC.
_READ_AS: Final = ("", '"yyyy-mm-dd\\"T\\"HH24:MI:SS\\"Z\\""', '"yyyy-mm-dd\\"T\\"HH24:MI:SS.US\\"Z\\""')


@dataclass(frozen=True, slots=True)
class Condition:
    """`contains`: what the metadata hold just so; `path`: a predicate that is true of them, empty where none is asked;
    `variables`: the values that it names."""

    contains: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)


def compiled(wanted: Mapping[str, Any]) -> Condition:
    """Fields without operators are looked for as they are, nested ones too. Raises Invalid."""
    _check_depth(wanted)
    plain = {name: value for name, value in wanted.items() if not _has_operator(name, value)}
    writer = _Writer()
    compared = {name: value for name, value in wanted.items() if name not in plain}
    return Condition(plain, writer.fields(compared) if compared else "", writer.variables)


def _check_depth(wanted: Any) -> None:
    """Level by level: what is nested deeply enough would end a recursion."""
    level = [wanted]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _inside(value)]
    if level:
        raise Invalid(f"A filter may be nested {MAX_DEPTH} levels deep.", code=CODE)


def _inside(value: Any) -> Iterable[Any]:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [entry for entry in inner if isinstance(entry, Mapping | list)]


def _has_operator(name: str, value: Any) -> bool:
    if name.startswith("$"):
        return True
    if isinstance(value, list):
        return any(_has_operator("", entry) for entry in value)
    return isinstance(value, Mapping) and any(_has_operator(*entry) for entry in value.items())


class _Writer:
    """Writes one predicate. In its lax mode a list fulfils what one of its entries does."""

    def __init__(self) -> None:
        self.variables: dict[str, Any] = {}
        self._conditions = 0
        self._values = 0

    def fields(self, wanted: Mapping[str, Any], place: str = "$") -> str:
        """Every field of an object."""
        return _joined("&&", [self._named(name, value, place) for name, value in wanted.items()])

    def _named(self, name: str, value: Any, place: str) -> str:
        if name in _JOINTS:
            return self._joint(name, value, place)
        if name.startswith("$"):
            raise Invalid(f"{_shown(name)} is no operator, or stands outside a field.", code=CODE)
        # Escaped as JSON, it is a string of the path language too.
        return self._field(value, f"{place}.{json.dumps(name)}")

    def _joint(self, name: str, value: Any, place: str) -> str:
        if (
            not isinstance(value, list)
            or not value
            or not all(part and isinstance(part, Mapping) for part in value)
        ):
            raise Invalid(f"{name} takes a list of filters, none of them empty.", code=CODE)
        return _joined(_JOINTS[name], [self.fields(part, place) for part in value])

    def _field(self, value: Any, place: str) -> str:
        if isinstance(value, Mapping) and any(name.startswith("$") for name in value):
            return _joined("&&", [self._compared(name, operand, place) for name, operand in value.items()])
        if isinstance(value, Mapping) and value:
            return self.fields(value, place)
        if value == {}:
            return self._condition(f"exists({place})")
        return self._equal(value if isinstance(value, list) else [value], place)

    def _compared(self, operator: str, operand: Any, place: str) -> str:
        if operator in _ORDER:
            return self._ordered(operator, operand, place)
        match operator:
            case "$between":
                low, high = dates.pair(operand)
                if isinstance(low, str) != isinstance(high, str):
                    raise Invalid("$between takes two numbers or two dates.", code=CODE)
                return _joined("&&", [self._ordered("$gte", low, place), self._ordered("$lte", high, place)])
            case "$eq" | "$ne":
                equal = self._equal([operand], place)
            case "$contains":
                return self._equal(operand if isinstance(operand, list) else [operand], place)
            case "$in" | "$nin":
                equal = self._condition(f"{place} == {self._variable(_scalars(operator, operand))}[*]")
            case "$exists" if isinstance(operand, bool):
                there = self._condition(f"exists({place})")
                return there if operand else _not(there)
            case "$exists":
                raise Invalid("$exists takes true or false.", code=CODE)
            case _:
                raise Invalid(
                    f"{_shown(operator)} is no operator. There are {', '.join(_OPERATORS)}.", code=CODE
                )
        return _not(equal) if operator in {"$ne", "$nin"} else equal

    def _equal(self, values: list[Any], place: str) -> str:
        """All of the values stand there."""
        if not values:
            return self._condition(f"exists({place})")
        return _joined(
            "&&",
            [
                self._condition(f"{place} == {self._variable(value)}")
                for value in _scalars("A comparison", values)
            ],
        )

    def _ordered(self, operator: str, operand: Any, place: str) -> str:
        if isinstance(operand, int | float) and not isinstance(operand, bool):
            return self._condition(f"{place} {_ORDER[operator]} {self._variable(operand)}")
        moment = dates.read(operand) if isinstance(operand, str) else None
        if moment is None:
            raise Invalid(
                f'{operator} compares numbers, and dates such as "2024-01-31" or "2024-01-31T16:30:00Z".',
                code=CODE,
            )
        # A day that was written is a whole one: after it means from the next one on.
        bound, sign = {
            "$gt": (moment.end, ">="),
            "$gte": (moment.begin, ">="),
            "$lt": (moment.begin, "<"),
            "$lte": (moment.end, "<"),
        }[operator]
        named = self._variable(_written(bound))
        return self._condition(
            _joined("||", [f"{place}.datetime({form}) {sign} {named}.datetime()" for form in _READ_AS])
        )

    def _condition(self, predicate: str) -> str:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise Invalid(f"A filter may have {MAX_CONDITIONS} conditions.", code=CODE)
        return f"({predicate})"

    def _variable(self, value: Any) -> str:
        self._values += len(value) if isinstance(value, list) else 1
        if self._values > MAX_VALUES:
            raise Invalid(f"A filter may have {MAX_VALUES} values.", code=CODE)
        name = f"v{len(self.variables)}"
        self.variables[name] = value
        return f"${name}"


def _joined(joint: str, predicates: list[str]) -> str:
    return predicates[0] if len(predicates) == 1 else f"({f' {joint} '.join(predicates)})"


def _not(predicate: str) -> str:
    """Also where it can be neither true nor false, since the types differ."""
    return f"(!{predicate} || ({predicate} is unknown))"


def _scalars(operator: str, values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise Invalid(f"{operator} takes a list.", code=CODE)
    if any(isinstance(value, Mapping | list) for value in values):
        raise Invalid(f"{operator} takes strings, numbers, true, false and null.", code=CODE)
    return values


def _written(moment: datetime) -> str:
    """Without a fraction where there is none, which older versions of Postgres cannot read."""
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")


def _shown(name: str) -> str:
    return json.dumps(name if len(name) <= 40 else f"{name[:40]}…", ensure_ascii=False)
