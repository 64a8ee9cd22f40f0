"""An OpenAI-compatible chat endpoint as a process of its own, which carries hundreds of connections on little time.

    with patient_model.running(delay=2.0) as model:
        ...  # ANSWER_BASE_URL=model.url
        model.calls()  # what became of each request

`tests.model_server` has a thread for each connection and is scripted from within; this one has a loop, answers everybody
alike, and notices at once when a connection is closed.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests import model_answers

ROOT = Path(__file__).resolve().parent.parent
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MARK = re.compile(r"\bmark-\w+")


@dataclass
class Call:
    """A request for a completion. Times in seconds of the epoch; `mark`: a word of its messages, such as mark-7."""

    mark: str
    began: float
    ended: float = 0.0  # 0: it is being answered
    whole: bool = False  # whether it was answered to its end


@dataclass(frozen=True)
class Manner:
    """How everybody is answered: after `delay` seconds, in a stream `pace` seconds from token to token."""

    delay: float
    pace: float
    tokens: int

    @property
    def text(self) -> str:
        return " ".join(["An", "answer", "[1]", *(f"word{number}" for number in range(self.tokens - 3))])


@dataclass(frozen=True)
class PatientModel:
    """A running one, seen from outside."""

    url: str

    def calls(self) -> list[Call]:
        return [
            Call(**call) for call in httpx2.get(f"{self.url}/calls", timeout=10).raise_for_status().json()
        ]

    def forget(self) -> None:
        httpx2.delete(f"{self.url}/calls", timeout=10).raise_for_status()


@contextmanager
def running(*, delay: float = 0.0, pace: float = 0.0, tokens: int = 12) -> Iterator[PatientModel]:
    command = [sys.executable, "-m", "tests.patient_model"]
    options = ["--delay", str(delay), "--pace", str(pace), "--tokens", str(tokens)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout
        yield PatientModel(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait(10)


# The process -------------------------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """One client's connection, one request after the other."""

    def __init__(self, manner: Manner, calls: list[Call]) -> None:
        self._manner = manner
        self._calls = calls
        self._received = b""
        self._call: Call | None = None
        self._answering: asyncio.Task[None] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._answering is not None:
            self._answering.cancel()
        if self._call is not None and not self._call.ended:
            self._call.ended = time.time()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or len(body) < int(length[1] if length else 0):
            return
        self._received = b""
        if b"/chat/completions" not in head:
            self._tell(head)
            return
        asked = json.loads(body)
        said = " ".join(str(message["content"]) for message in asked["messages"])
        mark = _MARK.search(said)
        self._call = Call(mark[0] if mark else "", time.time())
        self._calls.append(self._call)
        self._answering = asyncio.ensure_future(self._answer(asked, self._call))

    def _tell(self, head: bytes) -> None:
        if head.startswith(b"DELETE"):
            self._calls.clear()
        self._send(json.dumps([asdict(call) for call in self._calls]).encode())

    async def _answer(self, asked: dict[str, Any], call: Call) -> None:
        await asyncio.sleep(self._manner.delay)
        if asked.get("stream"):
            await self._stream(asked)
        else:
            self._send(json.dumps(model_answers.completion(asked, self._manner.text)).encode())
        call.ended, call.whole = time.time(), True

    async def _stream(self, asked: dict[str, Any]) -> None:
        head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked", "", ""]
        self._transport.write("\r\n".join(head).encode())
        for event in model_answers.completion_events(asked, self._manner.text):
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            if self._manner.pace:
                await asyncio.sleep(self._manner.pace)
        self._transport.write(b"0\r\n\r\n")

    def _send(self, body: bytes) -> None:
        head = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        self._transport.write("\r\n".join(head).encode() + body)


async def _serve(manner: Manner) -> None:
    calls: list[Call] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(manner, calls), "127.0.0.1", 0, backlog=1000)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--delay", type=float, default=0.0)
    options.add_argument("--pace", type=float, default=0.0)
    options.add_argument("--tokens", type=int, default=12)
    chosen = options.parse_args(arguments)
    asyncio.run(_serve(Manner(chosen.delay, chosen.pace, chosen.tokens)))


if __name__ == "__main__":
    main()
