"""HTTP clients of model vendors, on one event loop per process.

Callers are synchronous, but only cancelling a task bounds a whole call: a client's own timeouts are per read, and a
server that drips a byte a second would never meet one.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai

from ragsite.lib.concurrency import event_loops, waiting
from ragsite.lib.concurrency.per_process import PerProcess
from ragsite.lib.errors import ModelFailed
from ragsite.lib.inference.circuit_rules import Rules

T = TypeVar("T")

EVENT_OVERHEAD = 16  # a streamed token of 5 bytes comes wrapped in some 200


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a vendor answers. `timeout_seconds` bounds a whole call: all its tries, pauses and fallbacks.

    `purpose`: what it is asked for. All calls of a purpose to an address have one circuit together, with these rules. A
    call waits `queue_seconds` for its place there. `tries`: how often it asks, at most, while what failed may pass.
    """

    base_url: str
    api_key: str = field(repr=False)
    purpose: str
    timeout_seconds: float = 30.0
    connect_timeout: float = 5.0
    tries: int = 3
    max_answer_bytes: int = 1_000_000
    rules: Rules = field(default_factory=Rules)
    queue_seconds: float = 2.0

    @property
    def name(self) -> str:
        """What people know it by: the host, and the path where that tells more than a version. No password."""
        parts = urlsplit(self.base_url)
        return parts.netloc.rpartition("@")[2] + parts.path.rstrip("/").removesuffix("/v1")


def run(work: Coroutine[Any, Any, T], timeout_seconds: float) -> T:
    """The result of `work`, which is cancelled when the time is up (`TimeoutError`) or its caller is interrupted.

    Raises ClientLeft when the caller answers a request whose client has gone.
    """
    future = asyncio.run_coroutine_threadsafe(
        _bounded(work, timeout_seconds), event_loops.named("vendor-calls")
    )
    try:
        # The second bound frees the caller even if something blocks the loop itself.
        return waiting.result(future, timeout_seconds + 1)
    finally:
        future.cancel()


async def _bounded(work: Coroutine[Any, Any, T], timeout_seconds: float) -> T:
    async with asyncio.timeout(timeout_seconds):
        return await work


def _make_client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    async def bound_body(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ModelFailed("The model endpoint compressed its answer, though asked not to.")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            streamed = response.headers.get("content-type", "").startswith("text/event-stream")
            limit = endpoint.max_answer_bytes * (EVENT_OVERHEAD if streamed else 1)
            response.stream = BoundedBody(response.stream, limit)

    return openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key or "none",  # the client insists on one, local servers do not
        max_retries=0,
        default_headers={"Accept-Encoding": "identity"},  # or a few bytes could inflate past any bound
        http_client=openai.DefaultAsyncHttpx2Client(
            timeout=httpx2.Timeout(None, connect=endpoint.connect_timeout),
            follow_redirects=False,
            event_hooks={"response": [bound_body]},
        ),
    )


class BoundedBody(httpx2.AsyncByteStream):
    """A response's body, cut off with `ModelFailed` once it is longer than `limit` bytes."""

    def __init__(self, body: httpx2.AsyncByteStream, limit: int) -> None:
        self._body = body
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body's chunks as they come."""
        left = self._limit
        async for chunk in self._body:
            left -= len(chunk)
            if left < 0:
                raise ModelFailed(f"The model endpoint's answer is longer than {self._limit:,} bytes.")
            yield chunk

    async def aclose(self) -> None:
        """Close the connection, or give it back to the pool when the body was read to its end."""
        await self._body.aclose()


_clients = PerProcess(_make_client)


def client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    """This process's client of the endpoint, for use in `run` alone.

    All purposes share one client, and so its pool of connections: an answer finds the connection open on which its
    question was rewritten.
    """
    reached = Endpoint(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        purpose="",
        connect_timeout=endpoint.connect_timeout,
        max_answer_bytes=endpoint.max_answer_bytes,
    )
    return _clients.get(reached)
