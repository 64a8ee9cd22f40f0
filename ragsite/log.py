"""Logging: one line an event, as JSON for machines or as text for a terminal, on standard error."""

import logging
from typing import Any

import structlog

from ragsite.lib.redaction import redacted

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


class LineFormatter(structlog.stdlib.ProcessorFormatter):
    """Takes API keys out of every line: ours name none, but a logged path or exception may, as a client sent it."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class RedactingFormatter(logging.Formatter):
    """Another formatter's lines without API keys: for servers that bring their own."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return redacted(self._inner.format(record))


def configuration(*, level: str, form: str) -> dict[str, Any]:
    """Django's LOGGING. Lines of the standard library and of structlog end up in the same form."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = {
        "()": LineFormatter,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        "foreign_pre_chain": _SHARED,
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.request": {"level": "ERROR"},  # a 404 is the caller's news, not the operator's
            # At INFO it tells whole addresses, which may hold a receiver's token.
            "httpx2": {"level": "WARNING"},
            # Below, its pool tells of each connection; it sets itself to WARNING, also where only errors are asked for.
            "psycopg": {"level": "ERROR" if level == "ERROR" else "WARNING"},
        },
    }
