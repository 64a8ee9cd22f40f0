"""Reads settings from environment variables and refuses values that do not parse.

A secret may stand in a file instead: `NAME_FILE` names it (Docker and Kubernetes mount secrets so).
"""

import math
import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def secret(name: str, default: str = "") -> str:
    """The value of `NAME`, or the content of the file that `NAME_FILE` names."""
    path = text(f"{name}_FILE")
    if not path:
        return text(name, default)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}") from error


def boolean(name: str, *, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}")
    return value in TRUE


def integer(name: str, default: int, *, minimum: int = 0) -> int:
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}") from error
    if number < minimum:
        raise ImproperlyConfigured(f"{name} must be {minimum} or more, not {number}")
    return number


def number(name: str, default: float, *, minimum: float = 0.0) -> float:
    value = text(name, str(default))
    try:
        parsed = float(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}") from error
    if not parsed >= minimum:  # also refuses nan
        raise ImproperlyConfigured(f"{name} must be {minimum} or more, not {value}")
    return parsed


def words(name: str, default: str = "") -> list[str]:
    """A list, separated by commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def choice(name: str, default: str, *, among: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in among:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(among)}, not {value!r}")
    return value


def prices(name: str, default: str = "") -> dict[str, tuple[float, float]]:
    """US dollars per million tokens, written `model=prompt/completion`, separated by commas."""
    table = {}
    for entry in words(name, default):
        try:
            model, amounts = entry.split("=")
            prompt, completion = (float(amount) for amount in amounts.split("/"))
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} must be model=prompt/completion, not {entry!r}") from error
        if not all(0 <= price < math.inf for price in (prompt, completion)):  # also refuses nan
            raise ImproperlyConfigured(f"{name} must hold prices of 0 or more, not {entry!r}")
        table[model.strip()] = (prompt, completion)
    return table


def keys(name: str, value: str) -> dict[str, str]:
    """Keys by the host that they are for, written `host=key` or `host:port=key`, separated by commas or lines."""
    table = {}
    entries = filter(None, map(str.strip, value.replace("\n", ",").split(",")))
    for number, entry in enumerate(entries, start=1):
        host, _, key = entry.partition("=")
        if not host.strip() or not key.strip() or "/" in host:
            # Never what it says: it may be a key alone.
            raise ImproperlyConfigured(f"{name} must be host=key, and its entry {number} is not")
        table[host.strip().lower()] = key.strip()
    return table
