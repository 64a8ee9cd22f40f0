"""Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

EVENTS = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # no proxy keeps it, nor holds it back


class AcceptsEvents(DefaultContentNegotiation):
    """What is no stream, such as a problem, goes out as JSON to those who accept events."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if EVENTS in request.META.get("HTTP_ACCEPT", ""):
            return JSONRenderer(), JSONRenderer.media_type
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


def framed(name: str, data: bytes, *, identifier: str = "") -> bytes:
    """`data` is JSON, which has no line break but escaped ones, and so is one `data` line."""
    line = f"id: {identifier}\n".encode() if identifier else b""
    return line + b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def streaming(events: Iterable[bytes]) -> StreamingHttpResponse:
    return StreamingHttpResponse(events, content_type=EVENTS, headers=HEADERS)


def read(stream: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """The events that `framed` made, however they are cut, by name and data; a comment has no name, and comes as it is."""
    held = b""
    for piece in stream:
        *events, held = (held + piece).split(b"\n\n")
        for event in events:
            yield _read(event)


def _read(event: bytes) -> tuple[str, bytes]:
    fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
    if b"event" not in fields:
        return "", event + b"\n\n"
    return fields[b"event"].decode(), fields[b"data"]
