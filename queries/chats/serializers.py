"""The bodies of messages and conversations."""

from rest_framework import serializers

from queries.chats import conversations
from queries.models import Conversation
from queries.serializers import MAX_QUESTION, AnswerOut, HistoryOut, QueryIn
from ragsite.lib.fields import NameText, StrictSerializer, StrictText, StrictUUID


class ChatIn(QueryIn):
    question = None  # type: ignore[assignment]  # DRF's way to leave out an inherited field
    message = StrictText(max_length=MAX_QUESTION, source="question")
    conversation_id = StrictUUID(
        required=False,
        allow_null=True,
        help_text="The conversation it goes on with; without one it begins one.",
    )


class ChatOut(AnswerOut):
    conversation_id = serializers.UUIDField()


class ConversationIn(StrictSerializer):
    title = NameText(max_length=conversations.MAX_TITLE)


class ConversationOut(serializers.ModelSerializer[Conversation]):
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True, help_text="When the latest question was asked.")

    class Meta:
        model = Conversation
        fields = ["id", "title", "created_at", "updated_at"]


class ConversationPageOut(ConversationOut):
    """A conversation with a page of its messages, the latest first."""

    messages = HistoryOut(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)

    class Meta(ConversationOut.Meta):
        fields = [*ConversationOut.Meta.fields, "messages", "next", "previous"]
