"""Postgres and Redis from Python wheels, for a machine where no DATABASE_URL or REDIS_URL is configured.

Everything lives under one data directory. Both servers listen on Unix sockets only, in directories that no other
account can enter, which is what lets them trust whoever connects. Nothing here imports Django: settings read
`database_url`, `redis_url` and `secrets`, and the tests start servers of their own before settings exist.
"""

import subprocess
from pathlib import Path

from ragsite import processes
from ragsite.embedded.own_secrets import secrets
from ragsite.embedded.places import OWNER, EmbeddedError, database_url, redis_url, socket_directory
from ragsite.embedded.postgres import Postgres
from ragsite.embedded.redis import Redis

__all__ = [
    "OWNER",
    "EmbeddedError",
    "Postgres",
    "Redis",
    "Server",
    "database_url",
    "redis_url",
    "secrets",
    "socket_directory",
    "start",
    "stop",
]


Server = Postgres | Redis


def start(server: Server, *, log: Path, seconds: float = 60.0) -> subprocess.Popen[bytes]:
    """Start `server` as a child that dies with us, wait until it answers, and make what it must hold.

    Raises EmbeddedError with the end of its log when it does not come up in `seconds`.
    """
    server.prepare()
    with log.open("ab") as output:
        process = processes.spawn(
            server.argv,
            output=output,
            user=server.user,
            cwd=server.directory,
            death_signal=server.stop_signal,
        )
    if not processes.wait_until(
        server.is_ready, seconds=seconds, alive=lambda: not processes.has_ended(process)
    ):
        stop(server, process)
        raise EmbeddedError(f"{server.name} did not start:\n{processes.tail(log)}")
    server.provision()
    return process


def stop(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Stop a server that `start` started."""
    processes.stop(process, stop_signal=server.stop_signal, grace=server.grace)
