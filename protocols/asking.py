"""How these protocols ask: the answer, its events and the passages are those of POST /api/query and /api/search."""

import json
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.request import Request

from apikeys import callers
from queries import answering, answers, lookup, replies
from queries.answers import Ask
from queries.lookup import Place
from ragsite.lib.middleware import request_id


def answer(request: Request, ask: Ask, *, use_cache: bool) -> dict[str, Any]:
    """The answer as the API shows it. Raises what `answering.answer` raises."""
    place = _place(request, ask, use_cache=use_cache)
    kept = place.find(request)
    if kept is not None:
        body: dict[str, Any] = json.loads(replies.kept_body(request, ask.question, kept.body))
        return body
    made = answering.answer(callers.of(request), ask, query_id=request_id(request))
    place.keep(made)
    fresh: dict[str, Any] = replies.whole(request, made).data
    return fresh


def events(request: Request, ask: Ask, *, use_cache: bool) -> StreamingHttpResponse:
    """Its server-sent events. Raises what keeps the first from being made."""
    place = _place(request, ask, use_cache=use_cache)
    kept = place.find(request)
    if kept is not None:
        return replies.kept_stream(request, ask.question, kept.body)
    return replies.stream(request, ask, place=place)


def passages(request: Request, ask: Ask) -> list[dict[str, Any]]:
    """The passages that an answer would be made from, as the API shows sources."""
    return answers.sources(answering.retrieve(callers.of(request), ask).hits)


def _place(request: Request, ask: Ask, *, use_cache: bool) -> Place:
    return lookup.place(request, callers.of(request), ask) if use_cache else lookup.NOWHERE
