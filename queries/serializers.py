"""The bodies of questions, answers and history."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from documents.intake import check_metadata
from queries import conversations
from queries.answers import Ask
from queries.models import Conversation, Feedback, Query
from ragsite.lib.errors import Invalid
from ragsite.lib.fields import StrictBoolean, StrictInteger, StrictSerializer, StrictText, StrictUUID

MAX_QUESTION = 4_000
MAX_DOCUMENTS = 1_000
MAX_NAME = 100
MAX_TOP_K = 50


@extend_schema_field({"type": "object", "additionalProperties": {}, "nullable": True})
class MetadataField(serializers.JSONField):
    pass


class SearchIn(StrictSerializer):
    question = StrictText(max_length=MAX_QUESTION)
    top_k = StrictInteger(min_value=1, max_value=MAX_TOP_K, required=False, allow_null=True)
    collection = StrictText(max_length=MAX_NAME, required=False, allow_null=True, help_text="Its name or id.")
    document_ids = serializers.ListField(
        child=serializers.UUIDField(), max_length=MAX_DOCUMENTS, required=False, allow_null=True
    )
    metadata = MetadataField(
        required=False, allow_null=True, help_text="Found in documents whose metadata contain this object."
    )

    def validate_metadata(self, value: Any) -> dict[str, Any]:
        try:
            return check_metadata({} if value is None else value)
        except Invalid as error:
            raise serializers.ValidationError(error.detail, code=error.error_code) from error

    def ask(self) -> Ask:
        data = self.validated_data
        documents = data.get("document_ids")
        return Ask(
            question=data["question"],
            top_k=data.get("top_k"),
            collection=data.get("collection"),
            document_ids=None if documents is None else tuple(sorted(set(documents))),
            metadata=data.get("metadata") or {},
            route=data.get("route", "auto"),
            database=data.get("database"),
        )


class QueryIn(SearchIn):
    route = serializers.ChoiceField(choices=["auto", *Query.Route.values], default="auto")
    database = StrictText(max_length=MAX_NAME, required=False, allow_null=True)
    stream = StrictBoolean(default=False)
    use_cache = StrictBoolean(default=True)


class ChatIn(QueryIn):
    question = None  # type: ignore[assignment]  # DRF's way to leave out an inherited field
    message = StrictText(max_length=MAX_QUESTION, source="question")
    conversation_id = StrictUUID(
        required=False,
        allow_null=True,
        help_text="The conversation it goes on with; without one it begins one.",
    )


class SourceOut(serializers.Serializer[Any]):
    n = serializers.IntegerField(help_text="What the answer cites as [n].")
    document_id = serializers.UUIDField()
    title = serializers.CharField()
    collection = serializers.CharField()
    page = serializers.IntegerField(allow_null=True, help_text="From 1; null where the format has no pages.")
    chunk_id = serializers.UUIDField()
    start = serializers.IntegerField(help_text="Characters from the start of the document's text.")
    end = serializers.IntegerField()
    text = serializers.CharField(help_text="Exactly what stands at that span.")
    score = serializers.FloatField(help_text="0 to 1.")


class SearchOut(serializers.Serializer[Any]):
    results = SourceOut(many=True)


class TokensOut(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_usd = serializers.FloatField()


class AnswerOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    question = serializers.CharField()
    answer = serializers.CharField()
    standalone_question = serializers.CharField(
        allow_null=True,
        help_text="What a follow-up was taken to ask; null where it was looked for as it was asked.",
    )
    route = serializers.ChoiceField(choices=Query.Route.choices)
    sources = SourceOut(many=True)
    sql = serializers.CharField(allow_null=True)
    columns = serializers.ListField(child=serializers.CharField(), allow_null=True)
    rows = serializers.ListField(child=serializers.ListField(), allow_null=True)
    from_cache = serializers.BooleanField()
    generator = serializers.CharField()
    model = serializers.CharField()
    usage = TokensOut()
    timings_ms = serializers.DictField(child=serializers.FloatField())
    response_time_ms = serializers.FloatField()


class ChatOut(AnswerOut):
    conversation_id = serializers.UUIDField()


class FeedbackIn(StrictSerializer):
    rating = serializers.ChoiceField(choices=Feedback.Rating.choices)
    comment = StrictText(max_length=2_000, required=False, allow_blank=True, default="")


class FeedbackOut(serializers.ModelSerializer[Feedback]):
    class Meta:
        model = Feedback
        fields = ["rating", "comment", "created_at"]


class HistoryOut(serializers.ModelSerializer[Query]):
    usage = serializers.SerializerMethodField()
    feedback = FeedbackOut(read_only=True, allow_null=True, default=None)
    conversation_id = serializers.UUIDField(read_only=True, allow_null=True)

    class Meta:
        model = Query
        fields = ["id", "conversation_id", "question", "standalone_question", "answer", "route", "sources", "sql",
                  "from_cache", "generator", "model", "usage", "timings_ms", "response_time_ms", "status", "error_code",
                  "feedback", "created_at"]  # fmt: skip

    def get_usage(self, query: Query) -> dict[str, Any]:
        return {
            "prompt_tokens": query.prompt_tokens,
            "completion_tokens": query.completion_tokens,
            "cost_usd": float(query.cost_usd),
        }


class ConversationIn(StrictSerializer):
    title = StrictText(max_length=conversations.MAX_TITLE)

    def validate_title(self, value: str) -> str:
        """What would show nothing, or turn what stands beside it, is no title."""
        title = conversations.plain(value)
        if not title:
            raise serializers.ValidationError("This field may not be blank.", code="blank")
        return title


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


class CacheOut(serializers.Serializer[Any]):
    hits = serializers.IntegerField()
    misses = serializers.IntegerField()
    hit_rate = serializers.FloatField()
    entries = serializers.IntegerField()
    bytes = serializers.IntegerField()
