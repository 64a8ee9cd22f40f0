"""How a program is told of an error: in a problem document (RFC 9457), or in the form of the protocol that it speaks.

Whoever serves another protocol registers its form, for the addresses that it serves, with `use`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PROBLEM: Final = "application/problem+json"
JSON: Final = "application/json"
_MOST_FIELDS: Final = 3  # that a message names

Document = Mapping[str, Any]  # a problem document


@dataclass(frozen=True, slots=True)
class Told:
    status: int
    body: Mapping[str, Any]
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


Form = Callable[[Document], Told]


def _as_it_is(document: Document) -> Told:
    return Told(document["status"], document, PROBLEM)


# By the first part of an address, and not by the view: an address that does not exist has none.
_forms: dict[str, Form] = dict.fromkeys(("api", "health", "ready", "status", "metrics"), _as_it_is)


def use(form: Form, *, below: str) -> None:
    """Errors at `/{below}` and below it are told in this form."""
    _forms[below] = form


def is_for_programs(path: str) -> bool:
    """Whether programs call this address; people see a page."""
    return _first(path) in _forms


def told(path: str, document: Document) -> Told:
    """A problem as whoever calls this address understands it."""
    return _forms.get(_first(path), _as_it_is)(document)


def _first(path: str) -> str:
    return path.split("/", 2)[1]


def message(document: Document) -> str:
    """What is wrong, for protocols that have one line for it."""
    said = [f"{error['field']}: {error['detail']}" for error in document.get("errors", [])[:_MOST_FIELDS]]
    return " ".join(said) or str(document["detail"])
