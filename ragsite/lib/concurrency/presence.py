"""Whether a request's client is still connected while the request's thread waits for something else.

Writing to it would tell, but while a model thinks there is nothing to write. So a thread that waits looks now and then
(`ragsite.lib.concurrency.waiting`): at its connection, which shows whether the other end was closed. In a stream of
events it also sends a comment, for a proxy that keeps its end open until its own client has gone.
"""

import select
import socket
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from ragsite.lib import postgres
from ragsite.lib.errors import ClientLeft

SOCKET = "gunicorn.socket"  # in the environ
_EVENTS = "text/event-stream"  # as `server_sent` has it, whose imports want Django to be set up
ALIVE = b": still at it\n\n"  # a comment, which every reader of events passes over

Write = Callable[[bytes], object]
Application = Callable[[dict[str, Any], Callable[..., Write]], Iterable[bytes]]


class Client:
    """The other end of a request's connection, as the thread knows it that answers."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._write: Write | None = None

    def told(self, start_response: Callable[..., Write]) -> Callable[..., Write]:
        """WSGI's `start_response`; of a stream of events, what writes to it is kept."""

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Write:
            postgres.give_back()  # who only sends needs none, and a client may read slowly
            write = start_response(status, headers, *more)
            is_stream = any(
                name.lower() == "content-type" and value.startswith(_EVENTS) for name, value in headers
            )
            self._write = write if is_stream else None
            return write

        return start

    def has_left(self) -> bool:
        """Whether it has closed its side, as nginx takes it too: no client closes half a connection and reads on."""
        if self._connection.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._connection, select.POLLRDHUP)  # a failed connection is told unasked
        return bool(poll.poll(0))

    def encourage(self) -> None:
        """A comment, where events are sent; raises OSError where it cannot be.

        PEP 3333 keeps `write` from those who yield, for a server might hold back what they have yielded. gunicorn sends
        each piece at once, and this runs in the thread that sends them, between two of them.
        """
        if self._write is not None:
            self._write(ALIVE)


_client: ContextVar[Client | None] = ContextVar("ragsite.client", default=None)


def watched(application: Application) -> Application:
    """The application, with every thread knowing its client. Under gunicorn one thread makes an answer and sends it."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Write]) -> Iterable[bytes]:
        connection = environ.get(SOCKET)
        client = None if connection is None else Client(connection)
        _client.set(client)  # until the thread's next request
        return application(environ, start_response if client is None else client.told(start_response))

    return serve


def has_left() -> bool:
    """Whether this thread's client has gone. False where nobody is known."""
    client = _client.get()
    return client is not None and client.has_left()


def check() -> None:
    """Raises ClientLeft where this thread's client has gone."""
    if has_left():
        raise _left()


def look() -> None:
    """As `check`; a client that waits for events also gets a comment, as a sign of life."""
    check()
    client = _client.get()
    if client is not None:
        try:
            client.encourage()
        except OSError:
            raise _left() from None


def _left() -> ClientLeft:
    return ClientLeft("The client closed the connection before its answer.")
