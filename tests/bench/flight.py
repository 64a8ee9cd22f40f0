"""One process that keeps many requests in flight, each on a connection of its own. Run as a script: see `asker`.

Standard input: host, port, how many, seconds of running in, seconds of counting, in a line; then the request, whose first
`000000` is another number in each. Standard output: requests that were answered while it counted, CPU seconds.
"""

import asyncio
import itertools
import re
import sys
import time

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200"
_NUMBER = b"000000"

_numbers = itertools.count(1)


class Flight(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, request: bytes, answered: list[float], failed: "asyncio.Future[None]") -> None:
        self._request = request
        self._answered = answered
        self._failed = failed
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._seen = b""
        assert self._transport
        self._transport.write(self._request.replace(_NUMBER, b"%06d" % next(_numbers), 1))

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, separator, body = self._seen.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head)
        if not head.startswith(_OK) or length is None:
            self._fail(self._seen[:600])
        elif len(body) >= int(length[1]):
            self._answered.append(time.perf_counter())
            self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        self._fail(b"The server closed the connection.")

    def _fail(self, why: bytes) -> None:
        if not self._failed.done():
            self._failed.set_exception(RuntimeError(why.decode(errors="replace")))


async def fly(host: str, port: int, request: bytes, *, many: int, seconds: tuple[float, float]) -> str:
    loop = asyncio.get_running_loop()
    answered: list[float] = []
    failed: asyncio.Future[None] = loop.create_future()
    for _ in range(many):
        await loop.create_connection(lambda: Flight(request, answered, failed), host, port)
    await asyncio.wait([failed], timeout=seconds[0])
    answered.clear()
    cpu = time.process_time()
    await asyncio.wait([failed], timeout=seconds[1])
    if failed.done():
        failed.result()
    return f"{len(answered)} {time.process_time() - cpu}\n"


def main() -> None:
    host, port, many, before, counted = sys.stdin.buffer.readline().decode().split()
    request = sys.stdin.buffer.read()
    seconds = (float(before), float(counted))
    sys.stdout.write(asyncio.run(fly(host, int(port), request, many=int(many), seconds=seconds)))


if __name__ == "__main__":
    main()
