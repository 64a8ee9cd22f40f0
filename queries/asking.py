"""The one way from a request's question to its answer, for every face: from the cache, from whoever is making it, or
made for this request. A face asks here, shows what it is given, and knows of neither."""

from collections.abc import Iterator
from typing import Any

from rest_framework.request import Request

from apikeys import callers
from apikeys.callers import Caller
from queries import answering, history, sources
from queries.answering import Part
from queries.answers import Answer, Ask
from queries.caching import cache, flight, lookup
from queries.caching.flight import ALONE, Seat
from queries.caching.lookup import Place
from queries.caching.seals import Kept
from ragsite.lib.concurrency import turns
from ragsite.lib.errors import AppError
from ragsite.lib.middleware import elapsed_ms, request_id

Given = Answer | Kept
"""An answer that was made for the request, or one that was there already; both have `shared()` and its JSON, `body`."""


def whole(request: Request, ask: Ask, *, use_cache: bool = True) -> Given:
    """The answer, on record in the history.

    Raises what `answering.answer` raises, to whoever makes it and, of the model's failures, to those who wait for it.
    """
    caller = callers.of(request)
    boarded = _boarded(request, caller, ask, use_cache=use_cache)
    if isinstance(boarded, Kept):
        return boarded
    with boarded.leading():
        made = answering.answer(caller, ask, query_id=request_id(request))
        boarded.land(made)
    return made


class Parts(Iterator[Part]):
    """What `answering.stream` gives, for whoever waits for it too. Whoever reads them closes them, at their end or
    before: then one of those who wait makes the answer."""

    def __init__(self, seat: Seat, parts: Any) -> None:
        self._seat = seat
        self._parts = parts

    def __next__(self) -> Part:
        with self._seat.leading():
            part: Part = next(self._parts)
            if isinstance(part, Answer):
                self._seat.land(part)
            return part

    def close(self) -> None:
        self._parts.close()
        self._seat.leave()


def stream(request: Request, ask: Ask, *, use_cache: bool = True) -> Parts | Kept:
    """The parts of the answer as they are made, or an answer that is whole already. Raises as `whole` does, the parts
    at any time."""
    caller = callers.of(request)
    boarded = _boarded(request, caller, ask, use_cache=use_cache)
    if isinstance(boarded, Kept):
        return boarded
    return Parts(boarded, answering.stream(caller, ask, query_id=request_id(request)))


def passages(request: Request, ask: Ask) -> list[dict[str, Any]]:
    """The passages that an answer would be made from, as the API shows sources."""
    found = answering.retrieve(callers.of(request), ask, query_id=request_id(request))
    return sources.shown(sources.each(found.hits))


def _boarded(request: Request, caller: Caller, ask: Ask, *, use_cache: bool) -> Seat | Kept:
    place: Place = lookup.place(request, caller, ask) if use_cache else lookup.Nowhere()
    found = place.find()
    if found is not None:
        return found
    if place.name is None:
        return ALONE
    try:
        boarded = flight.board(place.name)
    except AppError as error:
        _note_failure(request, caller, ask, error)
        raise
    if isinstance(boarded, Kept):
        cache.count_hit_instead(caller.tenant_id)
        lookup.record(request, caller, ask, kept=boarded)
    return boarded


def _note_failure(request: Request, caller: Caller, ask: Ask, error: AppError) -> None:
    query_id, milliseconds = request_id(request), elapsed_ms(request)
    with turns.turn(for_client=False):  # hundreds may have waited for one answer
        history.save_failure(caller, ask, query_id=query_id, code=error.error_code, milliseconds=milliseconds)
