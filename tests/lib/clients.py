"""A request's thread as gunicorn has it, whose client can leave."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ragsite.lib.concurrency import presence


@dataclass
class Asking:
    """The client's end of the connection, and what was written past the answer's own pieces."""

    client: socket.socket
    written: list[bytes] = field(default_factory=list)


@contextmanager
def asking(content_type: str = "text/event-stream", *, started: bool = True) -> Iterator[Asking]:
    """What runs in the block answers a client. `started`: the answer's head is out."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        told = Asking(theirs)

        def application(_: object, start_response: Callable[..., presence.Write]) -> list[bytes]:
            if started:
                start_response("200 OK", [("Content-Type", content_type)])
            return []

        before = presence._client.get()
        try:
            presence.watched(application)({presence.SOCKET: ours}, lambda *_: told.written.append)
            yield told
        finally:
            presence._client.set(before)
