"""Gives every request an id, and binds it to the log lines made while it is answered."""

from collections.abc import Callable
from time import perf_counter
from uuid import UUID

import structlog
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from ragsite.lib.identifiers import uuid7

# Keys of request.META. A client's headers arrive as HTTP_*, so that none can pose as these.
_ID = "ragsite.id"
_STARTED = "ragsite.started"
_STATUS = "ragsite.status"


class RequestID:
    """Puts a version 7 UUID on the request and into `X-Request-ID`.

    The id is always ours: it is the primary key of the request's usage record, so a caller who could choose
    it could hide one request behind another.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        identifier = request.META[_ID] = uuid7()
        request.META[_STARTED] = perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=str(identifier))
        response = self.get_response(request)
        response["X-Request-ID"] = str(identifier)
        return response


def request_id(request: HttpRequest | Request) -> UUID:
    identifier: UUID = request.META[_ID]
    return identifier


def elapsed_ms(request: HttpRequest | Request) -> float:
    """Milliseconds since the request came in."""
    started: float = request.META[_STARTED]
    return round((perf_counter() - started) * 1000, 1)


def note_status(request: HttpRequest | Request, status: int) -> None:
    """Notes what became of a request, where its protocol may give the answer another status."""
    request.META[_STATUS] = status


def status_of(request: HttpRequest | Request, sent: int) -> int:
    """What became of a request whose answer goes out with the status `sent`."""
    noted: int = request.META.get(_STATUS, sent)
    return noted
