"""A document's state as server-sent events: as it is, then each change of it, until it is ready, failed or deleted.

Each stream holds a thread of its process, so that a process keeps no more than EVENT_STREAMS of them, none for longer
than EVENT_STREAM_SECONDS; between two looks at the row it holds no connection to Postgres. It ends when its client is
found to have left.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from time import monotonic, sleep
from uuid import UUID
from weakref import finalize

from django.conf import settings
from django.db import close_old_connections
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer

from documents.models import Document
from documents.serializers import DocumentOut
from ragsite.lib import compact, postgres, row_security, server_sent
from ragsite.lib.concurrency import presence
from ragsite.lib.concurrency.thread_limits import ThreadLimit

LOOK_SECONDS = 0.5
# No proxy gives up so early.
KEEP_ALIVE_SECONDS = 5.0
_ALIVE = b": nothing new\n\n"
_COME_BACK = b": come back\nretry: 1000\n\n"
_COME_BACK_LATER = b": the database cannot be reached\nretry: 5000\n\n"
_limit = ThreadLimit(
    code="too_many_streams",
    detail="As many documents are followed as can be. Ask for the document itself, or try again.",
    retry_after=5,
)
_FINISHED = {Document.Status.READY, Document.Status.FAILED}

Look = Callable[[], Document | None]


def follow(document: Document, look: Look, *, seen: str = "") -> HttpResponseBase:
    """The answer to a caller who may see the document. `look` finds it again; `seen` is the last event's id.

    Raises Unavailable where the process has no thread to spare.
    """
    name, event = _told(document)
    if document.status in _FINISHED:
        # Nothing to wait for. 204 is what keeps a browser from coming back again and again.
        known = name == seen
        return HttpResponse(
            b"" if known else event,
            status=204 if known else 200,
            content_type=server_sent.EVENTS,
            headers=server_sent.HEADERS,
        )
    return server_sent.streaming(Following(document, look, first=b"" if name == seen else event, seen=name))


class Following:
    """The events of a document that is not finished. Whoever sends them closes it."""

    def __init__(self, document: Document, look: Look, *, first: bytes, seen: str) -> None:
        # The last one is for another tenant: else one could keep all the others from following anything.
        _limit.take(document.tenant_id, threads=settings.EVENT_STREAMS, for_others=1)
        # One that is never sent is never closed; it leaves when it is forgotten.
        self._leave = finalize(self, _limit.leave, document.tenant_id)
        self._tenant_id, self._document_id = document.tenant_id, document.pk
        self._look = look
        self._next, self._seen = first or _ALIVE, seen
        self._over = False
        self._until = monotonic() + settings.EVENT_STREAM_SECONDS

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        close_old_connections()  # what the request has asked, or the look before
        if self._next:
            event, self._next = self._next, b""
            return event
        if self._over:
            raise StopIteration
        return self._news()

    def close(self) -> None:
        self._leave()

    def _news(self) -> bytes:
        """The next event, or a comment when there is none for a while."""
        quiet = monotonic() + KEEP_ALIVE_SECONDS
        while monotonic() < min(quiet, self._until):
            sleep(LOOK_SECONDS)
            if presence.has_left():
                self._over = True
                return _ALIVE
            try:
                event = self._seen_now()
            except postgres.DOWN:
                self._over = True
                return _COME_BACK_LATER
            finally:
                close_old_connections()
            if event:
                return event
        self._over = monotonic() >= self._until
        return _COME_BACK if self._over else _ALIVE

    def _seen_now(self) -> bytes:
        """An event when something has changed. Its sender has left the request's middleware: see `row_security`."""
        with row_security.within(self._tenant_id):
            document = self._look()
            if document is None:
                self._over = True
                return _deleted(self._document_id)
            name, event = _told(document)
        if name == self._seen:
            return b""
        self._seen, self._over = name, document.status in _FINISHED
        return event


def _told(document: Document) -> tuple[str, bytes]:
    """The event of a document as it is, and its id, which is the same as long as the document is."""
    data = JSONRenderer().render(DocumentOut(document).data)
    name = sha256(data).hexdigest()[:16]
    return name, server_sent.framed(data, id=name, event="document")


def _deleted(document_id: UUID) -> bytes:
    return server_sent.framed(compact.encoded({"id": str(document_id)}), event="deleted")
