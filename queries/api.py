"""Questions, search, history, feedback and the answer cache over HTTP."""

from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import APIException
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apikeys import callers, retries
from apikeys.permissions import CanQuery, HasBudget, IsBusiness
from queries import asking, history, replies
from queries.caching import cache
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
from ragsite.lib import redis_client, server_sent
from ragsite.lib.errors import AppError, Unavailable

A_QUESTION = OpenApiExample("A question", {"question": "How do I rotate an API key?"}, request_only=True)


class QueryView(GenericAPIView[Query]):
    """Ask a question of the tenant's documents. The answer cites its sources by page and character span.

    With `stream` it comes as server-sent events: `source`s, then `token`s (`{"text"}`), then one `done` with the whole
    answer, or one `error` with the problem.
    """

    permission_classes = [CanQuery, HasBudget]
    serializer_class = QueryIn
    content_negotiation_class = server_sent.AcceptsEvents
    # The body, or the error in it, as `digest` read it before the caller was known.
    read: QueryIn | Exception | None = None

    def digest(self, request: Request) -> tuple[str, str]:
        """What admission looks up in its one round trip; called by `apikeys.authentication.AnswersFromCache`."""
        try:
            self.read = body = _read(request)
        except (APIException, AppError, RequestDataTooBig) as error:
            self.read = error
            return "", ""
        ask = body.ask()
        return (cache.digest(ask), ask.question) if body.validated_data["use_cache"] else ("", "")

    @extend_schema(
        request=QueryIn,
        examples=[A_QUESTION],
        responses={(200, "application/json"): AnswerOut, (200, server_sent.EVENTS): OpenApiTypes.STR},
    )
    @retries.answered_once
    def post(self, request: Request) -> HttpResponseBase:
        if isinstance(self.read, Exception):
            raise self.read
        body = self.read or _read(request)
        sent = body.validated_data
        return replies.reply(request, body.ask(), stream=sent["stream"], use_cache=sent["use_cache"])


def _read(request: Request) -> QueryIn:
    body = QueryIn(data=request.data)
    body.is_valid(raise_exception=True)
    return body


class SearchView(GenericAPIView[Query]):
    """Retrieval alone: the passages that an answer would be made from."""

    permission_classes = [CanQuery]
    serializer_class = SearchIn

    @extend_schema(request=SearchIn, examples=[A_QUESTION], responses=SearchOut)
    def post(self, request: Request) -> Response:
        body = SearchIn(data=request.data)
        body.is_valid(raise_exception=True)
        return Response({"results": asking.passages(request, body.ask())})


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
        query = history.visible(callers.of(request)).one(pk)
        return Response(HistoryOut(query, context={"request": request}).data)


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
        """Hits, misses, evictions, size and limits of the tenant's answer cache."""
        try:
            return Response(cache.statistics(callers.of(request).tenant()))
        except redis_client.DOWN as error:
            raise Unavailable("The cache cannot be reached.") from error

    @extend_schema(responses={204: None})
    def delete(self, request: Request) -> Response:
        """Forget the tenant's cached answers."""
        cache.forget(callers.of(request).tenant_id)
        return Response(status=204)
