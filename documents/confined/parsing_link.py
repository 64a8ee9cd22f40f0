"""This process's own parsing server (see `parsing_server`): started at first use, and again when it is lost.

`subprocess` and not `multiprocessing`: a Celery prefork worker is daemonic and may not have multiprocessing children.
"""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from documents.confined import interpreters, parsing_server
from documents.structure import Limits
from ragsite.lib.concurrency.per_process import PerProcess

# A server answers in milliseconds, and loads its libraries in a second; a machine that is busy takes longer.
START_SECONDS: Final = 30.0
END_SECONDS: Final = 15.0


class ServerLost(Exception):
    """The server died or hangs: whatever happened, the file may have nothing to do with it."""


def command() -> list[str]:
    """How the server is started; its last argument is this process's id."""
    return interpreters.command("parsing_server")


@dataclass(slots=True)
class Child:
    """A child at work: where its answer and its complaints arrive."""

    stdout: int
    stderr: int
    channel: socket.socket

    def end(self) -> tuple[int, int]:
        """End the child and everything that it started.

        Its exit code, or minus the signal that ended it, and the most bytes of memory that it had.
        """
        with suppress(OSError):  # the server is gone, as is read below
            self.channel.shutdown(socket.SHUT_WR)
        answer = _receive(self.channel, parsing_server.ENDED.size, END_SECONDS)
        status, peak_bytes = parsing_server.ENDED.unpack(answer)
        return os.waitstatus_to_exitcode(status), peak_bytes


@contextmanager
def reading(source: int, media_type: str, limits: Limits) -> Iterator[Child]:
    """A child that reads the file open at `source`. It is ended with the block, if `Child.end` has not done so.

    Raises `ServerLost`, also within the block; the next file has a server anew.
    """
    link = _links.get(None)
    server = link.server()
    try:
        with ExitStack() as held:
            yield _started(server, held, source=source, order=parsing_server.order(media_type, limits))
    except ServerLost:
        link.drop(server)
        raise


def _started(server: "_Server", held: ExitStack, *, source: int, order: bytes) -> Child:
    ours, theirs = (held.enter_context(end) for end in socket.socketpair())
    pipes = [os.pipe() for _ in range(2)]
    for reader, _ in pipes:
        held.callback(os.close, reader)
    try:
        server.send(order, [source, *(writer for _, writer in pipes), theirs.fileno()])
    finally:
        # Kept open here they would never come to their ends.
        theirs.close()
        for _, writer in pipes:
            os.close(writer)
    _receive(ours, len(parsing_server.STARTED), START_SECONDS)
    return Child(pipes[0][0], pipes[1][0], ours)


def _receive(channel: socket.socket, size: int, seconds: float) -> bytes:
    channel.settimeout(seconds)
    try:
        answer = channel.recv(size, socket.MSG_WAITALL)
    except OSError as error:
        raise ServerLost(f"no answer: {error}") from error
    if len(answer) < size:
        raise ServerLost("it has ended")
    return answer


class _Link:
    """At most one server at a time. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: _Server | None = None
        # A fork's child has a link of its own, and would keep this one's server from seeing that we are gone.
        os.register_at_fork(after_in_child=self._leave)

    def _leave(self) -> None:
        if self._server is not None:
            self._server.control.close()

    def server(self) -> "_Server":
        with self._lock:
            if self._server is None:
                self._server = _Server()
            return self._server

    def drop(self, server: "_Server") -> None:
        """End it, and with it whatever it still reads for other threads, which are told so."""
        with self._lock:
            if self._server is server:
                self._server = None
        server.end()


class _Server:
    """A server that was started, and our end of the socket it takes orders from."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        started: Future[subprocess.Popen[bytes]] = Future()
        threading.Thread(target=_keep, args=(theirs, started), name="parsing-server", daemon=True).start()
        self._process = started.result()

    def send(self, order: bytes, descriptors: list[int]) -> None:
        try:
            # One small message, which the kernel takes whole: threads need no lock.
            socket.send_fds(self.control, [order], descriptors)
        except OSError as error:
            raise ServerLost(f"no orders taken: {error}") from error

    def end(self) -> None:
        self._process.send_signal(signal.SIGKILL)  # its children die with it
        self.control.close()


def _keep(theirs: socket.socket, started: "Future[subprocess.Popen[bytes]]") -> None:
    """Start the server and wait for its end, in a thread of its own.

    A process that is to die with its parent dies with the thread that started it, and any other thread may end early.
    """
    with theirs:
        try:
            process = subprocess.Popen(
                command(),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            started.set_exception(error)
            return
    started.set_result(process)
    process.wait()


def _environment() -> dict[str, str]:
    """A library that starts threads would make forks unsafe, and cost each file their stacks."""
    return interpreters.environment() | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


_links: PerProcess[None, _Link] = PerProcess(lambda _: _Link())
