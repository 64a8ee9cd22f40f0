"""The one way from a request to its answer, for all interfaces.

The answer comes from the cache, from another request that is making the same one, or is made for this request. The
interfaces ask here, and show what they get.
"""

from collections.abc import Iterator
from typing import Any

from rest_framework.request import Request

from apikeys import callers
from apikeys.callers import Caller
from queries import answering, history, sources
from queries.answering import Part
from queries.answers import Answer, Ask
from queries.caching import cache, flight, lookup
from queries.caching.flight import ALONE, Leader
from queries.caching.lookup import Place
from queries.caching.seals import Kept
from ragsite.lib.concurrency import computing
from ragsite.lib.errors import AppError
from ragsite.lib.middleware import elapsed_ms, request_id

Given = Answer | Kept
"""An answer made for this request, or one from elsewhere; both have `shared()` and its JSON, `body`."""


def whole(request: Request, ask: Ask, *, use_cache: bool = True) -> Given:
    """The answer, which is then in the history.

    Raises what `answering.answer` raises; a failure of the model also to those who waited for its answer.
    """
    caller = callers.of(request)
    found = _found_or_leader(request, caller, ask, use_cache=use_cache)
    if isinstance(found, Kept):
        return found
    with found.making():
        made = answering.answer(caller, ask, query_id=request_id(request))
        found.deliver(made)
    return made


class Parts(Iterator[Part]):
    """The parts of `answering.stream`; the answer at their end also goes to those who wait for it.

    The reader has to close them. When they are closed before their end, one of those who wait makes the answer.
    """

    def __init__(self, leader: Leader, parts: Any) -> None:
        self._leader = leader
        self._parts = parts

    def __next__(self) -> Part:
        with self._leader.making():
            part: Part = next(self._parts)
            if isinstance(part, Answer):
                self._leader.deliver(part)
            return part

    def close(self) -> None:
        self._parts.close()
        self._leader.give_up()


def stream(request: Request, ask: Ask, *, use_cache: bool = True) -> Parts | Kept:
    """The parts of the answer as they are made, or an answer that was there already.

    Raises what `whole` raises; so does each step of the parts.
    """
    caller = callers.of(request)
    found = _found_or_leader(request, caller, ask, use_cache=use_cache)
    if isinstance(found, Kept):
        return found
    return Parts(found, answering.stream(caller, ask, query_id=request_id(request)))


def passages(request: Request, ask: Ask) -> list[dict[str, Any]]:
    """The passages that an answer would be made from, as the API shows sources."""
    found = answering.retrieve(callers.of(request), ask, query_id=request_id(request))
    return sources.shown(sources.each(found.hits))


def _found_or_leader(request: Request, caller: Caller, ask: Ask, *, use_cache: bool) -> Kept | Leader:
    """The answer from the cache or from another request; or the leader, when this request is to make it."""
    place: Place = lookup.place(request, caller, ask) if use_cache else lookup.Nowhere()
    found = place.find()
    if found is not None:
        return found
    if place.name is None:
        return ALONE
    try:
        joined = flight.join(place.name)
    except AppError as error:
        _note_failure(request, caller, ask, error)
        raise
    if isinstance(joined, Kept):
        cache.count_hit_instead(caller.tenant_id)
        lookup.record(request, caller, ask, kept=joined)
    return joined


def _note_failure(request: Request, caller: Caller, ask: Ask, error: AppError) -> None:
    query_id, milliseconds = request_id(request), elapsed_ms(request)
    with computing.slot(for_client=False):  # hundreds may have waited for one answer
        history.save_failure(caller, ask, query_id=query_id, code=error.error_code, milliseconds=milliseconds)
