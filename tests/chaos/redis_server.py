"""A Redis of the test's own, that can be killed, stopped and made slow."""

import asyncio
import multiprocessing
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from ragsite import embedded
from ragsite.embedded.places import redis_socket
from tests import site

SLOW_SECONDS = 0.2
_CHUNK = 65_536


@dataclass(frozen=True)
class Way:
    """A way to be away: what begins it, and what ends it."""

    begin: Callable[["Server"], None]
    end: Callable[["Server"], None]


@dataclass
class Server:
    """`url` leads to it by a proxy, which holds replies back while it is slow; `direct` leads straight to it."""

    folder: Path
    delay: "Synchronized[float]"
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def direct(self) -> str:
        return embedded.redis_url(self.folder)

    @property
    def url(self) -> str:
        return f"unix://{_proxy(self.folder)}?db=0"

    def start(self) -> None:
        """With what its append-only file has."""
        self.process = embedded.start(embedded.Redis(self.folder), log=self.folder / "redis.log")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """As its operator does."""
        embedded.stop(embedded.Redis(self.folder), self.process)
        self.start()

    def lose_everything(self) -> None:
        """Deletes what it has written; it has it all until it dies."""
        for path in embedded.Redis(self.folder).directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def stop(self) -> None:
        """From here on it takes connections and commands, and answers none."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def be_late(self) -> None:
        """From here on it answers everything, and too late."""
        self.delay.value = SLOW_SECONDS

    def be_quick(self) -> None:
        self.delay.value = 0.0


KILLED = Way(Server.kill, Server.start)
STOPPED = Way(Server.stop, Server.go_on)
SLOW = Way(Server.be_late, Server.be_quick)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    with _proxied(redis_socket(folder), listening=_proxy(folder)) as delay:
        server = Server(folder, delay)
        site.wait_for(_proxy(folder).exists)
        try:
            yield server
        finally:
            server.go_on()  # does nothing to one that has ended
            embedded.stop(embedded.Redis(folder), server.process)


def _proxy(folder: Path) -> Path:
    return folder / "slow.sock"


@contextmanager
def _proxied(server: Path, *, listening: Path) -> Iterator["Synchronized[float]"]:
    """Passes everything on between `listening` and `server`; yields the seconds by which replies are held back."""
    context = multiprocessing.get_context("spawn")  # threads of ours must not be forked
    delay: Synchronized[float] = context.Value("d", 0.0)
    process = context.Process(target=_serve, args=(server, listening, delay), daemon=True)
    process.start()
    try:
        yield delay
    finally:
        process.terminate()
        process.join()


def _serve(server: Path, listening: Path, delay: "Synchronized[float]") -> None:
    async def serve() -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                from_server, to_server = await asyncio.open_unix_connection(server)
            except OSError:
                writer.close()  # as near as it comes to not listening
                return
            await asyncio.gather(_pass(reader, to_server), _hold(from_server, writer, delay))

        async with await asyncio.start_unix_server(accept, listening, backlog=512) as listener:
            await listener.serve_forever()

    asyncio.run(serve())


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(_CHUNK):
            writer.write(content)
            await writer.drain()
    writer.close()


async def _hold(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: "Synchronized[float]"
) -> None:
    """Each reply is late by the same, so that many at once are no later than one."""
    loop = asyncio.get_running_loop()
    while content := await _read(reader):
        loop.call_later(delay.value, writer.write, content) if delay.value else writer.write(content)
    loop.call_later(delay.value, writer.close)


async def _read(reader: asyncio.StreamReader) -> bytes:
    with suppress(OSError):
        return await reader.read(_CHUNK)
    return b""
