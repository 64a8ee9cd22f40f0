"""The header `Idempotency-Key` on a view's `post`: what was answered once is answered again, and not done again."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial, wraps
from hashlib import sha256
from typing import Any, TypeVar, cast

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys import callers, idempotency, usage
from apikeys.idempotency import Kept, Sent
from ragsite.lib import row_security, server_sent
from ragsite.lib.middleware import request_id

REPLAYED = "Idempotency-Replayed"
_META = "HTTP_IDEMPOTENCY_KEY"
_JSON = "application/json"
_DONE = b"event: done\n"  # how the last event of a stream begins that was not broken off
_PARAMETER = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_KEY},
    OpenApiParameter.HEADER,
    description="A name of the client's own for this request, such as a UUID. Sent again within a day with the same"
    f" body, the request is not run again: the answer is the first one's, with `{REPLAYED}: true`. With another body it"
    " is 409 `idempotency_mismatch`; while the first is being answered for long, 409 `idempotency_in_progress` with"
    " `Retry-After`.",
)

View = TypeVar("View")
Post = Callable[[View, Request], HttpResponseBase]


def is_repeatable(request: HttpRequest | Request) -> bool:
    """Whether the request has the header. It may then be answered without being run."""
    return _META in request.META


def answered_once(post: Post[View]) -> Post[View]:
    """Decorates a view's `post`. Answers below 400 are kept: in JSON, or a stream that came to its end."""

    @extend_schema(parameters=[_PARAMETER])
    @wraps(post)
    def once(view: View, request: Request) -> HttpResponseBase:
        if not is_repeatable(request):
            return post(view, request)
        sent = _sent(request)
        kept = idempotency.begin(sent)
        return _again(kept) if kept is not None else _run(sent, partial(post, view, request))

    return cast("Post[View]", once)


def _sent(request: Request) -> Sent:
    return idempotency.sent(
        callers.of(request),
        endpoint=usage.endpoint(request),
        key=idempotency.check_key(request.META[_META]),
        body=_told(request.data),
        claim=request_id(request),
    )


def _told(data: Any) -> Any:
    """A body as JSON has it. Of a form it is what it says, since its boundary is another one at every sending."""
    if not isinstance(data, QueryDict):
        return data
    return [[name, [_told_field(value) for value in values]] for name, values in data.lists()]


def _told_field(value: Any) -> Any:
    """A file by its digest, read in pieces from where the parser has put it."""
    if not isinstance(value, UploadedFile):
        return value
    digest = sha256()
    for piece in value.chunks():
        digest.update(piece)
    return {"filename": value.name, "sha256": digest.hexdigest()}


def _run(sent: Sent, post: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    with ExitStack() as failing:
        failing.callback(idempotency.release, sent)
        response = post()
        if response.status_code < usage.FIRST_ERROR:
            failing.pop_all()
            _keep_when_made(sent, response)
    return response


def _keep_when_made(sent: Sent, response: HttpResponseBase) -> None:
    """What the view has set by now is the answer's own; what comes after it is each sending's."""
    headers = {name: value for name, value in response.headers.items() if name != "Content-Type"}
    if isinstance(response, StreamingHttpResponse):
        events = cast("Iterable[bytes]", response.streaming_content)
        response.streaming_content = _Watched(sent, events, headers)
    elif isinstance(response, Response):
        response.add_post_render_callback(lambda made: _keep(sent, made, headers))
    elif isinstance(response, HttpResponse):
        _keep(sent, response, headers)


def _keep(sent: Sent, made: HttpResponse, headers: dict[str, str]) -> None:
    """The browsable page is nobody's retry, and holds its reader's token."""
    if made["Content-Type"].startswith(_JSON):
        idempotency.keep(sent, Kept(made.status_code, made["Content-Type"], headers, made.content))
    else:
        idempotency.release(sent)


class _Watched:
    """The events of a stream, which are kept before the last one goes out. Whoever sends them closes it.

    By `close` and not by a generator's `finally`, for the reason that `queries.replies.Events` gives.
    """

    def __init__(self, sent: Sent, events: Iterable[bytes], headers: dict[str, str]) -> None:
        self._sent = sent
        self._events = events
        self._headers = headers
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        seen = bytearray()
        for event in self._events:
            if len(seen) <= idempotency.MAX_BODY_BYTES:  # beyond it nothing is kept
                seen += event
            if event.startswith(_DONE):
                self._ended = True
                with self._within():
                    idempotency.keep(self._sent, Kept(200, server_sent.EVENTS, self._headers, bytes(seen)))
            yield event

    def close(self) -> None:
        if not self._ended:
            self._ended = True
            with self._within():
                idempotency.release(self._sent)

    def _within(self) -> AbstractContextManager[None]:
        """As in `queries.replies.Events`: the request's middleware is over."""
        return row_security.within(self._sent.tenant_id)


def _again(kept: Kept) -> HttpResponseBase:
    headers = {**kept.headers, REPLAYED: "true"}
    if kept.content_type == server_sent.EVENTS:
        return StreamingHttpResponse(iter([kept.body]), content_type=server_sent.EVENTS, headers=headers)
    return HttpResponse(kept.body, status=kept.status, content_type=kept.content_type, headers=headers)
