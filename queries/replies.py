"""Sends an answer over HTTP: whole, or as a stream of server-sent events.

What a whole answer and each event look like is for each interface to say (`Face`). Common to all are the order of
events, what is recorded before the last of them, and what happens when the client leaves.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any, Protocol

import structlog
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys import callers, usage
from apikeys.spending import Spent
from queries import answering, asking
from queries.answering import Part
from queries.answers import Answer, Ask
from queries.asking import Given, Parts
from queries.caching.seals import Kept
from queries.generating import generation
from ragsite.lib import compact, postgres, row_security, server_sent
from ragsite.lib.errors import AppError, ClientLeft
from ragsite.lib.middleware import elapsed_ms, request_id
from ragsite.lib.problems import STATUS, problem

INTERNAL = 500

logger = structlog.get_logger(__name__)


class Face(Protocol):
    """How one interface formats an answer: whole, or in parts of zero (b"") or more events.

    `begun` opens a stream. `done` closes it with the whole answer, or `failed` with a problem document.
    """

    def whole(self, request: Request, ask: Ask, given: Given) -> HttpResponse: ...

    def begun(self) -> bytes: ...

    def source(self, entry: Mapping[str, Any]) -> bytes: ...

    def token(self, text: str) -> bytes: ...

    def done(self, request: Request, ask: Ask, given: Given) -> bytes: ...

    def failed(self, problem: Mapping[str, Any]) -> bytes: ...


class QueryFace:
    """The format of `POST /api/query`."""

    def whole(self, request: Request, ask: Ask, given: Given) -> HttpResponse:
        if isinstance(request.accepted_renderer, JSONRenderer):
            return HttpResponse(body(request, ask, given), content_type="application/json")
        return Response(shown(request, ask, given))

    def begun(self) -> bytes:
        return b""

    def source(self, entry: Mapping[str, Any]) -> bytes:
        return server_sent.framed(compact.encoded(entry), event="source")

    def token(self, text: str) -> bytes:
        return server_sent.framed(compact.encoded({"text": text}), event="token")

    def done(self, request: Request, ask: Ask, given: Given) -> bytes:
        return server_sent.framed(body(request, ask, given), event="done")

    def failed(self, problem: Mapping[str, Any]) -> bytes:
        return server_sent.framed(compact.encoded(problem), event="error")


QUERY = QueryFace()


def reply(
    request: Request, ask: Ask, *, stream: bool, use_cache: bool, face: Face = QUERY
) -> HttpResponseBase:
    """Answers a question in the format of `face`. Raises what `asking` raises before the first event."""
    if not stream:
        return face.whole(request, ask, asking.whole(request, ask, use_cache=use_cache))
    given = asking.stream(request, ask, use_cache=use_cache)
    if isinstance(given, Kept):
        return server_sent.streaming(filter(None, _kept_events(request, ask, given, face=face)))
    events = Events(request, ask, given, face=face)
    usage.mark_recorded(request)  # `Events` records it at its end, when the cost is known
    return server_sent.streaming(events)


def shown(request: Request, ask: Ask, given: Given) -> dict[str, Any]:
    """An answer as the API shows it."""
    return {**_first(request, ask), **given.shared(), **_last(request, given)}


def body(request: HttpRequest | Request, ask: Ask, given: Given) -> bytes:
    """`shown` as JSON. The stored body is sent as it is, with this request's own fields put around it."""
    first, last = compact.encoded(_first(request, ask)), compact.encoded(_last(request, given))
    return first[:-1] + b"," + given.body[1:-1] + b"," + last[1:]


def _first(request: HttpRequest | Request, ask: Ask) -> dict[str, Any]:
    """The fields before the shared ones; `conversation_id` only in a conversation."""
    own = {"id": str(request_id(request)), "question": ask.question}
    return {**own, "conversation_id": str(ask.conversation)} if ask.conversation else own


def _last(request: HttpRequest | Request, given: Given) -> dict[str, Any]:
    made = given if isinstance(given, Answer) else None
    spent = made.spent if made else Spent()
    return {
        "from_cache": made is None,
        "usage": {
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "cost_usd": float(spent.cost_usd),
        },
        "timings_ms": made.timings_ms if made else {},
        "response_time_ms": elapsed_ms(request),
    }


def _kept_events(request: Request, ask: Ask, kept: Kept, *, face: Face) -> Iterator[bytes]:
    """A kept answer, which is recorded already, as the events of a new one."""
    answer = kept.shared()
    yield face.begun()
    yield from map(face.source, answer["sources"])
    yield from map(face.token, generation.pieces(answer["answer"]))
    yield face.done(request, ask, kept)


class Events:
    """The events of an answer that is being made. The server closes it at the end, or when the client leaves.

    The history and the record of use are written before the last event, or when it is closed early. `close` does that,
    and not a generator's `finally`: the garbage collector could run that in any thread, in the middle of another
    statement, whose connection it would wait for in vain.
    """

    def __init__(self, request: Request, ask: Ask, parts: Parts, *, face: Face) -> None:
        self._request = request
        self._face = face
        # Found here, and not when the events are sent: finding the caller also opens their rows to the thread, and
        # after the request's middleware nothing would close them again.
        self._caller = callers.of(request)
        self._ask = ask
        self._recorded = False
        self._parts = parts
        self._events = self._made(next(self._parts))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._within():
            event = next(filter(None, self._events))
        postgres.give_back()  # a client that reads slowly keeps the thread, but no connection
        return event

    def _within(self) -> AbstractContextManager[None]:
        """Lets statements touch the tenant's rows: the request's middleware, which did that, has ended by now."""
        return row_security.within(self._caller.tenant_id)

    def close(self) -> None:
        with self._within():
            self._close()

    def _close(self) -> None:
        self._events.close()
        self._parts.close()
        if not self._recorded:
            query_id, milliseconds = request_id(self._request), elapsed_ms(self._request)
            try:
                answering.leave(self._caller, self._ask, query_id=query_id, milliseconds=milliseconds)
            except postgres.DOWN:
                logger.exception("a query whose client left is not in the history")
            self._record(STATUS[ClientLeft][0])

    def _made(self, first: Part) -> Generator[bytes, None, None]:
        try:
            yield self._face.begun()
            made = yield from self._until_answer(chain([first], self._parts))
            status, last = 200, self._face.done(self._request, self._ask, made)
        except AppError as error:
            status, document = _failed(self._request, error)
            last = self._face.failed(document)
        # The boundary of a stream: its status was sent, so that a 500 can only be an event.
        except Exception:
            logger.exception("a stream broke off")
            status, last = INTERNAL, self._face.failed(_broken(self._request))
        self._record(status)
        yield last

    def _until_answer(self, parts: Iterable[Part]) -> Generator[bytes, None, Answer]:
        for part in parts:
            if isinstance(part, Answer):
                return part
            yield self._face.token(part) if isinstance(part, str) else self._face.source(part)
        raise RuntimeError("An answer ended without its whole.")

    def _record(self, status: int) -> None:
        self._recorded = True
        usage.record_request(self._request, self._caller, status=status)


def _failed(request: Request, error: AppError) -> tuple[int, dict[str, Any]]:
    """The status, and the problem document."""
    status, _ = STATUS[type(error)]
    return status, problem(
        request, status=status, code=error.error_code, detail=error.detail, fields=error.fields
    )


def _broken(request: Request) -> dict[str, Any]:
    detail = "Something went wrong here. The request's id finds it in the log."
    return problem(request, status=INTERNAL, code="internal", detail=detail)
