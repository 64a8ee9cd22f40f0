"""What gunicorn makes of its configuration, with next to nothing behind it."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings

from tests import site

CONFIGURATION = settings.BASE_DIR / "docker" / "gunicorn.conf.py"
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Tells what is set on the connection that the request came over: seconds, to send and to receive."""
    connection: socket.socket = environ["gunicorn.socket"]
    options = (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO)
    told = [
        struct.unpack("ll", connection.getsockopt(socket.SOL_SOCKET, option, 16))[0] for option in options
    ]
    body = " ".join(map(str, told)).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    free = site.free_port()
    environment = {**os.environ, "PORT": str(free), "BIND": "127.0.0.1", "WEB_WORKERS": "1"}
    command = [sys.executable, "-m", "gunicorn", "-c", str(CONFIGURATION), f"{__name__}:application"]
    process = subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR)
    try:
        site.wait_for(lambda: answers(free))
        yield free
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    try:
        with asking(port) as connection:
            return connection.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def asking(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=120)
    connection.sendall(_REQUEST)
    return connection


def test_clients_that_do_not_close_keep_nobody_out(port: int) -> None:
    began = time.monotonic()
    with ExitStack() as lingering:
        for _ in range(25):
            assert lingering.enter_context(asking(port)).recv(12) == b"HTTP/1.1 200"
    assert time.monotonic() - began < 30  # gunicorn by itself takes two seconds for each


def test_clients_that_are_silent_are_not_waited_for_without_end(port: int) -> None:
    with asking(port) as connection, connection.makefile("rb") as answer:
        assert answer.read().endswith(b"\r\n\r\n30 30")
