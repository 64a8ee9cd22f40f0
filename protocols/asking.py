"""How these protocols ask: the answer, its events and the passages are those of POST /api/query and /api/search."""

from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.request import Request

from queries import asking, replies
from queries.answers import Ask


def answer(request: Request, ask: Ask, *, use_cache: bool) -> dict[str, Any]:
    """The answer as the API shows it. Raises what `queries.asking.whole` raises."""
    return replies.shown(request, ask, asking.whole(request, ask, use_cache=use_cache))


def events(request: Request, ask: Ask, *, use_cache: bool) -> StreamingHttpResponse:
    """Its server-sent events. Raises what keeps the first from being made."""
    return replies.stream(request, ask, asking.stream(request, ask, use_cache=use_cache))


def passages(request: Request, ask: Ask) -> list[dict[str, Any]]:
    """The passages that an answer would be made from, as the API shows sources."""
    return asking.passages(request, ask)
