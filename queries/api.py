"""Questions, search, history, feedback and the answer cache over HTTP."""

import json
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apikeys import callers, usage
from apikeys.permissions import CanQuery, IsBusiness
from apikeys.usage import Spent
from queries import answering, cache, history, lookup
from queries.answers import Answer, source
from queries.models import Query
from queries.serializers import (
    AnswerOut,
    CacheOut,
    FeedbackIn,
    FeedbackOut,
    HistoryOut,
    QueryIn,
    SearchIn,
    SearchOut,
)
from ragsite.lib import redis_client
from ragsite.lib.errors import AppError, Unavailable
from ragsite.lib.middleware import elapsed_ms, request_id


class QueryView(APIView):
    """Ask a question of the tenant's documents. The answer cites its sources by page and character span."""

    permission_classes = [CanQuery]

    def digest(self, request: Request) -> tuple[str, str]:
        """What admission looks up in its one round trip; see `apikeys.authentication.AnswersFromCache`."""
        try:
            body = QueryIn(data=request.data)
            body.is_valid(raise_exception=True)
        except (APIException, AppError):  # refused below, once its sender is known
            return "", ""
        ask = body.ask()
        return (cache.digest(ask), ask.question) if body.validated_data["use_cache"] else ("", "")

    @extend_schema(request=QueryIn, responses=AnswerOut)
    def post(self, request: Request) -> HttpResponse:
        body = QueryIn(data=request.data)
        body.is_valid(raise_exception=True)
        caller, ask = callers.of(request), body.ask()
        place = lookup.place(request, caller, ask) if body.validated_data["use_cache"] else lookup.NOWHERE
        kept = place.find(request)
        if kept is not None:
            return _kept_answer(request, ask.question, kept.body)
        made = answering.answer(caller, ask, query_id=request_id(request))
        place.keep(made)
        return _fresh_answer(request, made)


class SearchView(APIView):
    """Retrieval alone: the passages that an answer would be made from."""

    permission_classes = [CanQuery]

    @extend_schema(request=SearchIn, responses=SearchOut)
    def post(self, request: Request) -> Response:
        body = SearchIn(data=request.data)
        body.is_valid(raise_exception=True)
        found = answering.retrieve(callers.of(request), body.ask())
        return Response({"results": [source(number, hit) for number, hit in enumerate(found.hits, start=1)]})


class HistoryView(ListAPIView[Query]):
    """Past queries, newest first: a key's own, a user's own, or all of a business user's tenant."""

    permission_classes = [CanQuery]
    serializer_class = HistoryOut
    queryset = Query.objects.none()

    def get_queryset(self) -> QuerySet[Query]:
        return history.visible(callers.of(self.request))


class HistoryEntryView(APIView):
    permission_classes = [CanQuery]

    @extend_schema(responses=HistoryOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """One past query."""
        return Response(HistoryOut(history.visible(callers.of(request)).one(pk)).data)


class FeedbackView(APIView):
    permission_classes = [CanQuery]

    @extend_schema(request=FeedbackIn, responses=FeedbackOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Say whether an answer was good. A later rating replaces an earlier one."""
        query = history.visible(callers.of(request)).one(pk)
        body = FeedbackIn(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(FeedbackOut(history.rate(query, **body.validated_data)).data)


class CacheView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(responses=CacheOut)
    def get(self, request: Request) -> Response:
        """Hits, misses and size of the tenant's answer cache."""
        try:
            return Response(cache.statistics(callers.of(request).tenant_id))
        except redis_client.DOWN as error:
            raise Unavailable("The cache cannot be reached.") from error

    @extend_schema(responses={204: None})
    def delete(self, request: Request) -> Response:
        """Forget the tenant's cached answers."""
        cache.forget(callers.of(request).tenant_id)
        return Response(status=204)


def _fresh_answer(request: Request, made: Answer) -> Response:
    generated = made.generated
    usage.spend(request, generated.spent)
    return Response(
        {
            "id": str(made.query_id),
            "question": made.question,
            **made.shared(),
            "from_cache": False,
            "usage": _tokens(generated.spent),
            "timings_ms": made.timings_ms,
            "response_time_ms": elapsed_ms(request),
        }
    )


def _tokens(spent: Spent) -> dict[str, Any]:
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost_usd": float(spent.cost_usd),
    }


def _kept_answer(request: Request, question: str, shared: bytes) -> HttpResponse:
    """The stored bytes go out as they are; what is this request's own is put before them."""
    own: dict[str, Any] = {
        "id": str(request_id(request)),
        "question": question,
        "from_cache": True,
        "usage": _tokens(Spent()),
        "timings_ms": {},
        "response_time_ms": elapsed_ms(request),
    }
    whole = json.dumps(own, ensure_ascii=False).encode()[:-1] + b", " + shared[1:]
    if request.accepted_renderer.format == "json":
        return HttpResponse(whole, content_type="application/json")
    return Response(json.loads(whole))
