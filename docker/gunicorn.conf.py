# ruff: noqa: INP001  gunicorn reads it as a file; it is no module of a package
"""How gunicorn serves ragsite, in a container and under `make up` alike."""

import os
from typing import Any

bind = f"{os.environ.get('BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 60  # a worker whose main thread says nothing for so long is killed; requests run in other threads
graceful_timeout = (
    8  # requests under way get this long at a stop, less than what a supervisor or Docker waits
)
keepalive = 30
worker_tmp_dir = "/dev/shm"  # noqa: S108  the heartbeat files, which a disk could stall
# Else a client behind a proxy on this machine could send SCRIPT_NAME itself: /x/admin/ would be served as /admin/, past
# whatever the proxy keeps from strangers by its path.
forwarder_headers = ""
control_socket_disable = True  # it would be one file a user, and two sites would fight over it


def on_starting(server: Any) -> None:
    """A header that gunicorn cannot read is logged as it came, and may hold a key."""
    from ragsite.log import RedactingFormatter  # noqa: PLC0415  importable once gunicorn has changed its directory

    for handler in server.log.error_log.handlers:
        handler.setFormatter(RedactingFormatter(handler.formatter))
