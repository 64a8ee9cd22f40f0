"""Where a secret could be left behind: log lines, tables, Redis, files."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction

from ragsite.lib import redis_client

_DATABASE_ITSELF = {"postgres", "redis"}  # folders under DATA_DIR; what is in there is asked of the servers


class Heard(logging.Handler):
    """Every record of every logger, as the site writes it and as it was made."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.made: list[str] = []
        self.setFormatter(_site_formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.made.append(f"{record.msg} {record.args} {record.exc_info and record.exc_info[1]!r}")
        self.lines.append(self.format(record))


@contextmanager
def everything_heard() -> Iterator[Heard]:
    """All loggers at DEBUG, Postgres's statements with their parameters among them.

    But for the templates': they log a traceback for every variable that a page asks for in vain, thousands a page.
    """
    heard, root = Heard(), logging.getLogger()
    loggers = [root, *map(logging.getLogger, root.manager.loggerDict)]
    levels = [logger.level for logger in loggers]
    root.addHandler(heard)
    connection.force_debug_cursor = True
    for logger in loggers:
        logger.setLevel(logging.INFO if logger.name == "django.template" else logging.DEBUG)
    try:
        yield heard
    finally:
        root.removeHandler(heard)
        connection.force_debug_cursor = False
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _site_formatter() -> logging.Formatter:
    configured = dict(settings.LOGGING["formatters"]["line"])
    formatter: logging.Formatter = configured.pop("()")(**configured)
    return formatter


@transaction.atomic
def database() -> dict[str, str]:
    """Each row of each table as text, by table, and what the sessions hold."""
    found = {"sessions": "\n".join(str(session.get_decoded()) for session in Session.objects.all())}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL bytea_output = 'escape'")  # in hexadecimal no secret would be recognised
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')  # noqa: S608  its name is the catalogue's
            found[table] = "\n".join(row for (row,) in cursor.fetchall())
    return found


def redis() -> str:
    """Each key and its value: messages to the workers, records on the stream, cached answers, copies of keys."""
    client: Any = redis_client.client()
    readers = {b"string": client.get, b"hash": client.hgetall, b"set": client.smembers, b"stream": client.xrange,
               b"list": lambda name: client.lrange(name, 0, -1), b"zset": lambda name: client.zrange(name, 0, -1)}  # fmt: skip
    return "\n".join(f"{name} {readers[client.type(name)](name)}" for name in client.scan_iter())


def files() -> str:
    """Names and contents of what stands in DATA_DIR."""
    found = (path for path in settings.DATA_DIR.rglob("*") if path.is_file())
    own = (path for path in found if path.relative_to(settings.DATA_DIR).parts[0] not in _DATABASE_ITSELF)
    return "\n".join(
        f"{path} {path.read_bytes().decode('latin-1')}" for path in own if "models" not in path.parts
    )
