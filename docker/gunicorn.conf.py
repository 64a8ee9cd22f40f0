# ruff: noqa: INP001  gunicorn reads it as a file; it is no module of a package
"""How gunicorn serves ragsite, in a container and under `make up` alike."""

import os
import resource
import socket
import struct
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

bind = f"{os.environ.get('BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Closes a connection in the thread that served it.

    gunicorn waits there for the other end to close as well, up to two seconds for each: in the thread that takes
    connections, a few clients that do not close would keep out everybody else.
    """

    def handle(self, conn: Any) -> Any:
        again = super().handle(conn)
        if again is False:
            conn.close(graceful=True)
            conn.close = lambda **_: None
        return again


worker_class = Worker
workers = int(os.environ.get("WEB_WORKERS", "2"))
# Most of them wait for a model, and cost next to nothing meanwhile; they are started when they are first needed. How many
# may wait is bounded (LONG_REQUESTS), and how many compute (ragsite/lib/concurrency/computing.py).
threads = int(os.environ.get("WEB_THREADS", "256"))
worker_connections = 1000 + threads  # a thousand that are kept open, beside those that are being answered
timeout = 60  # a worker whose main thread says nothing for so long is killed; requests run in other threads
# How long requests under way get at a stop: less than what a supervisor or Docker waits.
graceful_timeout = 8
keepalive = 30
worker_tmp_dir = "/dev/shm"  # noqa: S108  the heartbeat files, which a disk could stall
# Else a client behind a proxy on this machine could send SCRIPT_NAME itself: /x/admin/ would be served as /admin/, past
# whatever the proxy keeps from strangers by its path.
forwarder_headers = ""
control_socket_disable = True  # it would be one file a user, and two sites would fight over it


# A client that takes nothing for so long, or does not go on with its request, is cut off: else it would hold its thread
# for as long as it likes.
SILENT_SECONDS = 30
# A socket for each connection, one to the model for each that waits: more than the 1,024 that are usual.
_most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
_wanted = 2 * worker_connections + 1000
resource.setrlimit(
    resource.RLIMIT_NOFILE, (_wanted if _most == resource.RLIM_INFINITY else min(_wanted, _most), _most)
)


def when_ready(server: Any) -> None:
    """What is set on a listening socket holds for each connection that it takes."""
    for listener in server.LISTENERS:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", SILENT_SECONDS, 0))


def on_starting(server: Any) -> None:
    """A header that gunicorn cannot read is logged as it came, and may hold a key."""
    from ragsite.log import RedactingFormatter  # noqa: PLC0415  importable once gunicorn has changed its directory

    for handler in server.log.error_log.handlers:
        handler.setFormatter(RedactingFormatter(handler.formatter))
