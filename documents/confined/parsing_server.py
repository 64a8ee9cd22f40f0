"""The process that parsing children are forked from: it has their libraries loaded, so that no file waits for them.

Started by `parsing_link`. It knows no Django and no secret, and never looks at a file: it hands each file's
descriptor to a child of its own, so that no file meets what another has left behind.
Its standard input is a Unix socket on which orders arrive; one that closes ends it. With each order come four
descriptors: the file, where the child's output and its complaints go, and the order's channel. On that channel it says
`STARTED`. Whatever then arrives there, or its closing, makes it end the child and answer `ENDED`.
"""

import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import astuple
from typing import Final, NoReturn

from documents.confined import parsing_child, sandbox
from documents.formats import PARSERS
from documents.structure import Limits

STARTED: Final = b"S"
# Wait status, and the most resident bytes, with what it shares with the server.
ENDED: Final = struct.Struct("<iQ")
MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
# Media type, then the fields of `Limits` in order. Small enough that a socket carries it whole.
ORDER: Final = struct.Struct("<128sd5Q")


def order(media_type: str, limits: Limits) -> bytes:
    return ORDER.pack(media_type.encode(), *astuple(limits))


def main(arguments: list[str]) -> None:
    """Serve the process whose id is the one argument until it ends or closes its end of the socket."""
    (parent_pid,) = arguments
    sandbox.go_first()
    sandbox.die_with(int(parent_pid))
    for parser in PARSERS.values():
        # One whose library is missing fails its own files, in their children, and no others.
        with suppress(ImportError):
            importlib.import_module(parser)
    gc.collect()
    gc.freeze()  # a child's collector leaves alone what it shares with its siblings
    with socket.socket(fileno=0) as control:
        _Server(control).serve()


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[socket.socket, int] = {}
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        self._selector.register(self._control, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if isinstance(key.fileobj, socket.socket) and key.fileobj is not self._control:
                    self._end(key.fileobj)
                elif not self._take():
                    return

    def _take(self) -> bool:
        """Begin with the next order; False when there will be none."""
        message, descriptors, _, _ = socket.recv_fds(self._control, ORDER.size, 4)
        if len(message) < ORDER.size or len(descriptors) < 4:
            return False
        *streams, channel_fd = descriptors
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_child(message, streams, server)
        for descriptor in streams:
            os.close(descriptor)
        channel = socket.socket(fileno=channel_fd)
        self._children[channel] = pid
        self._selector.register(channel, selectors.EVENT_READ)
        with suppress(OSError):  # whoever ordered it is gone; the channel's end says so next
            channel.sendall(STARTED)
        return True

    def _end(self, channel: socket.socket) -> None:
        """End the child and whatever is in its group; tell how it ended."""
        pid = self._children.pop(channel)
        self._selector.unregister(channel)
        # Gone already; macOS answers EPERM for a group of zombies.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        # It may not have come to lead a group. It is not reaped yet, so that its id is nobody else's.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        _, status, used = os.wait4(pid, 0)
        with channel, suppress(OSError):
            channel.sendall(ENDED.pack(status, used.ru_maxrss * MAXRSS_UNIT))


def _become_child(message: bytes, streams: list[int], server: int) -> NoReturn:
    """In the forked child: keep the three streams and nothing else, and read the file."""
    try:
        os.setsid()
        for place, descriptor in enumerate(streams):
            os.dup2(descriptor, place)
        os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
        name, *values = ORDER.unpack(message)
        parsing_child.main(name.rstrip(b"\0").decode(), Limits(*values), server=server)
    except BaseException:  # noqa: BLE001 - the end of a process: nothing may return into the server's loop
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)
