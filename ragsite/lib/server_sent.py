"""Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""

from collections.abc import Iterable
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

EVENTS = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # no proxy keeps it, nor holds it back


class AcceptsEvents(DefaultContentNegotiation):
    """For views that stream events: whatever else they answer, such as a problem, goes out as JSON."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if EVENTS in request.META.get("HTTP_ACCEPT", ""):
            return JSONRenderer(), JSONRenderer.media_type
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


def framed(data: bytes, **fields: str) -> bytes:
    """`data` is JSON, which has no line break but escaped ones, and so is one `data` line; `fields`: `id`, `event`."""
    head = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return head.encode() + b"data: " + data + b"\n\n"


def streaming(events: Iterable[bytes]) -> StreamingHttpResponse:
    return StreamingHttpResponse(events, content_type=EVENTS, headers=HEADERS)
