"""A small OpenAI-compatible server for tests and benchmarks: real HTTP on the loopback, answers and faults on request.

    with ModelServer() as server:
        server.script(Behaviour(status=429, retry_after="1"), Behaviour(reply="Paris [1]"))
        ...  # the first request is refused, the second answered, later ones get `server.default`
        assert server.calls == 2

Alone, for benchmarks: `python -m tests.model_server --port 8899 --delay 0.2`.
"""

import argparse
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

from tests import model_answers, rerank_answers

Fault = Literal["none", "reset", "invalid_json", "not_a_completion", "empty", "huge", "hang"]

HUGE_BYTES = 10_000_000
_PADDING = b"x" * HUGE_BYTES
_READ_SECONDS = 0.02  # before a reset, which takes back what the other end has not read yet


@dataclass(frozen=True)
class Behaviour:
    """How one request is answered. `reply` is the text, or makes it from the request's messages."""

    reply: str | Callable[[Sequence[Mapping[str, str]]], str] = "A scripted answer [1]."
    delay: float = 0.0  # seconds before the first byte
    drip: float = 0.0  # seconds between the bytes of the body
    drip_headers: bool = False  # drip the status line and the headers too
    status: int = 200
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # sent with the answer
    most_texts: int = 0  # embeddings of more texts than this are refused with 413; 0: never
    error: str = "scripted failure"
    fault: Fault = "none"


@dataclass(frozen=True)
class Recorded:
    """A request as it came in; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class ModelServer:
    """Starts on a free port, answers until stopped, and remembers what it was asked."""

    def __init__(
        self,
        *,
        port: int = 0,
        default: Behaviour | None = None,
        embedder: model_answers.Embedder = model_answers.bags_of_words,
    ) -> None:
        self.default = default or Behaviour()
        self.embedder = embedder
        self.requests: list[Recorded] = []
        self.open_connections = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._script: deque[Behaviour] = deque()
        self._http = _Listener(("127.0.0.1", port), self)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.02,), name="model-server", daemon=True
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL to give to an OpenAI client."""
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def calls(self) -> int:
        """How many requests have come in since the last `reset`."""
        return len(self.requests)

    def start(self) -> None:
        """Begin to answer, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Free the port and wake every request that hangs."""
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def script(self, *behaviours: Behaviour) -> None:
        """Answer the next requests so, one each, in this order."""
        with self._lock:
            self._script.extend(behaviours)

    def reset(self, default: Behaviour | None = None) -> None:
        """Forget the script and the requests so far, and answer by `default` from now on."""
        with self._lock:
            self._script.clear()
            self.requests.clear()
            self.default = default or Behaviour()

    def record(self, request: Recorded) -> Behaviour:
        """Note a request and tell how to answer it."""
        with self._lock:
            self.requests.append(request)
            return self._script.popleft() if self._script else self.default

    def count_connection(self, change: int) -> None:
        """Add to the number of open connections."""
        with self._lock:
            self.open_connections += change


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a request that hangs must not keep a test from ending
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: ModelServer) -> None:
        super().__init__(address, _Handler)
        self.owner = owner

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self.owner.count_connection(+1)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.owner.count_connection(-1)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle of an answer are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive, so that tests see whether clients reuse connections
    disable_nagle_algorithm = True
    server: _Listener
    _headers_buffer: list[bytes]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
        """Say nothing."""

    def do_GET(self) -> None:
        behaviour = self._recorded({})
        models = [{"id": "scripted-1", "object": "model", "created": 0, "owned_by": "tests"}]
        self._answer(behaviour, {"object": "list", "data": models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        behaviour = self._recorded(body)
        if self.path.endswith("/embeddings"):
            if behaviour.most_texts and len(body["input"]) > behaviour.most_texts:
                behaviour = replace(behaviour, status=413)
            self._answer(behaviour, model_answers.embeddings(body, self.server.owner.embedder))
        elif self.path.endswith("/rerank"):
            self._answer(behaviour, rerank_answers.answer(body))
        elif not self.path.endswith("/chat/completions"):
            self._answer(Behaviour(status=404, error="no such path"), {})
        elif body.get("stream") and behaviour.status == 200:
            self._stream(behaviour, body)
        else:
            self._answer(behaviour, model_answers.completion(body, reply_text(behaviour, body)))

    def parse_request(self) -> bool:
        """Connections that were kept open die with the server: one that has stopped answers nothing."""
        if self.server.owner.stopping.is_set():
            self.close_connection = True
            return False
        return super().parse_request()

    def _recorded(self, body: Mapping[str, Any]) -> Behaviour:
        headers = {name.lower(): value for name, value in self.headers.items()}
        behaviour = self.server.owner.record(Recorded(self.path, headers, body))
        self._wait(behaviour.delay)
        if behaviour.fault == "hang":
            self._wait(3600)
            self.close_connection = True
        return behaviour

    def _wait(self, seconds: float) -> None:
        if seconds:
            self.server.owner.stopping.wait(seconds)

    def _answer(self, behaviour: Behaviour, answer: Mapping[str, Any]) -> None:
        if behaviour.status != 200:
            answer = {"error": {"message": behaviour.error, "type": "scripted", "code": None}}
        body = faulty_body(behaviour.fault, answer)
        self._send_head(behaviour, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        if behaviour.fault == "reset":
            self._send(body[: len(body) // 2], behaviour)
            self._reset()
        else:
            self._send(body, behaviour)

    def _stream(self, behaviour: Behaviour, body: Mapping[str, Any]) -> None:
        # No Content-Length: the answer ends where the connection does.
        self._send_head(behaviour, {"Content-Type": "text/event-stream", "Connection": "close"})
        events = model_answers.completion_events(body, stream_text(behaviour, body))
        if behaviour.fault == "reset":
            known = list(events)
            events = iter(known[: len(known) // 2])
        for event in events:
            self._send(event, behaviour)
        if behaviour.fault == "reset":
            self._reset()

    def _send_head(self, behaviour: Behaviour, headers: Mapping[str, str]) -> None:
        self.send_response(behaviour.status)
        if behaviour.retry_after is not None:
            self.send_header("Retry-After", behaviour.retry_after)
        for name, value in {**headers, **behaviour.headers}.items():
            self.send_header(name, value)
        if behaviour.drip_headers:
            head = b"".join([*self._headers_buffer, b"\r\n"])
            self._headers_buffer = []
            self._send(head, behaviour)
        else:
            self.end_headers()

    def _send(self, data: bytes, behaviour: Behaviour) -> None:
        if not behaviour.drip:
            self.wfile.write(data)
            return
        for byte in data:
            self.wfile.write(bytes([byte]))
            self._wait(behaviour.drip)

    def _reset(self) -> None:
        self._wait(_READ_SECONDS)
        # Lingering for 0 seconds makes close() send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


def faulty_body(fault: Fault, answer: Mapping[str, Any]) -> bytes:
    """The bytes of an answer, spoilt as `fault` asks."""
    if fault == "invalid_json":
        return b'{"choices": [{"message": '
    if fault == "not_a_completion":
        return b'{"choices": "none", "data": "none"}'
    if fault == "huge":
        # Put together rather than encoded: it is not the server's time that is measured.
        return json.dumps(answer).encode()[:-1] + b', "padding": "' + _PADDING + b'"}'
    return json.dumps(answer).encode()


def reply_text(behaviour: Behaviour, body: Mapping[str, Any]) -> str:
    """What the model says to a request."""
    if behaviour.fault == "empty":
        return ""
    return behaviour.reply(body["messages"]) if callable(behaviour.reply) else behaviour.reply


def stream_text(behaviour: Behaviour, body: Mapping[str, Any]) -> str:
    """The same for a stream, where being huge means many long tokens."""
    text = reply_text(behaviour, body)
    return ("x" * 999 + " ") * (HUGE_BYTES // 1000) if behaviour.fault == "huge" else text


def main() -> None:
    """Serve until interrupted."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    options.add_argument("--drip", type=float, default=0.0, help="seconds between an answer's bytes")
    chosen = options.parse_args()
    with ModelServer(port=chosen.port, default=Behaviour(delay=chosen.delay, drip=chosen.drip)) as server:
        print(server.url, flush=True)
        server.stopping.wait()


if __name__ == "__main__":
    main()
