"""A Redis whose replies come late: a proxy between Unix sockets, in a process of its own."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

_CHUNK = 65_536


@contextmanager
def slowed(server: Path, *, listening: Path) -> Iterator["Synchronized[float]"]:
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
            with suppress(OSError):
                from_server, to_server = await asyncio.open_unix_connection(server)
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
