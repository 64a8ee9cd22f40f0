"""Conversations over HTTP: asking in one, listing, reading, renaming and deleting them."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apikeys import callers, retries
from apikeys.permissions import CanQuery, HasBudget
from queries import replies
from queries.chats import conversations
from queries.chats.serializers import ChatIn, ChatOut, ConversationIn, ConversationOut, ConversationPageOut
from queries.models import Conversation
from queries.serializers import HistoryOut
from ragsite.lib import server_sent
from ragsite.lib.api import Pages
from ragsite.lib.middleware import request_id

A_MESSAGE = OpenApiExample("A message", {"message": "How do I rotate an API key?"}, request_only=True)
PAGE = [
    OpenApiParameter("cursor", str, description="Where a page begins, as `next` and `previous` have it."),
    OpenApiParameter("limit", int, description="Messages a page: 50 when left out, 200 at most."),
]


class ChatView(GenericAPIView[Conversation]):
    """Ask in a conversation: a follow-up is understood by what was said before it.

    Without `conversation_id` the question begins a conversation, whose id the answer tells. With `stream` the answer
    comes as server-sent events, as that of a query does.
    """

    permission_classes = [CanQuery, HasBudget]
    serializer_class = ChatIn
    content_negotiation_class = server_sent.AcceptsEvents

    @extend_schema(
        request=ChatIn,
        examples=[A_MESSAGE],
        responses={(200, "application/json"): ChatOut, (200, server_sent.EVENTS): OpenApiTypes.STR},
    )
    @retries.answered_once
    def post(self, request: Request) -> HttpResponseBase:
        body = ChatIn(data=request.data)
        body.is_valid(raise_exception=True)
        sent = body.validated_data
        ask = conversations.in_conversation(
            callers.of(request),
            body.ask(),
            conversation_id=sent.get("conversation_id"),
            query_id=request_id(request),
        )
        return replies.reply(request, ask, stream=sent["stream"], use_cache=sent["use_cache"])


class LatestFirst(Pages):
    ordering = ("-latest",)


class ConversationsView(ListAPIView[Conversation]):
    """Conversations, the one that was asked in last first: a key's own, a user's own, or all of a business user's
    tenant."""

    permission_classes = [CanQuery]
    serializer_class = ConversationOut
    pagination_class = LatestFirst
    queryset = Conversation.objects.none()

    def get_queryset(self) -> QuerySet[Conversation]:
        return conversations.visible(callers.of(self.request))


class ConversationView(APIView):
    permission_classes = [CanQuery]

    @extend_schema(parameters=PAGE, responses=ConversationPageOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """A conversation with its messages, the latest first. Each is a question with its answer."""
        conversation = _one(request, pk)
        pages: Any = Pages()
        messages = pages.paginate_queryset(conversations.messages(conversation), request, view=self)
        told = ConversationOut(conversation).data
        links = {"next": pages.get_next_link(), "previous": pages.get_previous_link()}
        return Response(
            {**told, "messages": HistoryOut(messages, many=True, context={"request": request}).data, **links}
        )

    @extend_schema(request=ConversationIn, responses=ConversationOut)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Give a conversation another title."""
        conversation = _one(request, pk)
        body = ConversationIn(data=request.data)
        body.is_valid(raise_exception=True)
        conversations.rename(conversation, title=body.validated_data["title"])
        return Response(ConversationOut(conversation).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Delete a conversation. Its questions and answers stay in the history, and the records of use stay too."""
        conversations.delete(_one(request, pk))
        return Response(status=204)


def _one(request: Request, pk: UUID) -> Conversation:
    return conversations.visible(callers.of(request)).one(pk)
