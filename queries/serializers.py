"""The bodies of questions, answers, history and the answer cache."""

from collections.abc import Callable
from typing import Any, get_args

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apikeys import callers
from documents.intake import check_metadata
from documents.searching import dates, filters
from queries.answers import Ask
from queries.checking import support
from queries.models import Feedback, Query
from ragsite.lib.errors import Invalid
from ragsite.lib.fields import StrictBoolean, StrictInteger, StrictSerializer, StrictText

MAX_QUESTION = 4_000
MAX_DOCUMENTS = 1_000
MAX_NAME = 100
MAX_TOP_K = 50

_MOMENT = {"type": "string"}
_TWO_MOMENTS = {"type": "array", "items": _MOMENT, "minItems": 2, "maxItems": 2}


@extend_schema_field({"type": "object", "additionalProperties": {}})
class MetadataField(serializers.JSONField):
    pass


@extend_schema_field(
    {
        "type": "object",
        "properties": {name: _TWO_MOMENTS if name == "$between" else _MOMENT for name in dates.COMPARISONS},
        "additionalProperties": False,
        "minProperties": 1,
    }
)
class MomentsField(serializers.JSONField):
    pass


class SearchIn(StrictSerializer):
    question = StrictText(max_length=MAX_QUESTION, help_text="In whole words.")
    top_k = StrictInteger(
        min_value=1, max_value=MAX_TOP_K, required=False, allow_null=True, help_text="How many sources."
    )
    collection = StrictText(
        max_length=MAX_NAME,
        required=False,
        allow_null=True,
        help_text="Only in this collection, by its name or id.",
    )
    document_ids = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=MAX_DOCUMENTS,
        required=False,
        allow_null=True,
        help_text="Only in these documents.",
    )
    metadata = MetadataField(
        required=False,
        allow_null=True,
        help_text="Only in documents whose metadata contain this object, or fulfil its comparisons:"
        ' {"year": {"$gte": 2020}}.',
    )
    created_at = MomentsField(
        required=False,
        allow_null=True,
        help_text='Only in documents that were uploaded then: {"$gte": "2024-01-01"}.',
    )
    ready_at = MomentsField(
        required=False, allow_null=True, help_text="Only in documents that became searchable then."
    )

    def validate_metadata(self, value: Any) -> dict[str, Any]:
        wanted: dict[str, Any] = _checked(check_metadata, {} if value is None else value)
        _checked(filters.compiled, wanted)
        return wanted

    def validate_created_at(self, value: Any) -> Any:
        if value is not None:
            _checked(dates.span, value)
        return value

    validate_ready_at = validate_created_at

    def ask(self) -> Ask:
        data = self.validated_data
        documents = data.get("document_ids")
        return Ask(
            question=data["question"],
            top_k=data.get("top_k"),
            collection=data.get("collection"),
            document_ids=None if documents is None else tuple(sorted(set(documents))),
            metadata=data.get("metadata") or {},
            created_at=data.get("created_at") or {},
            ready_at=data.get("ready_at") or {},
            route=data.get("route", "auto"),
            database=data.get("database"),
        )


def _checked(check: Callable[[Any], Any], value: Any) -> Any:
    """Runs a check of the domain; the error that it raises becomes the field's."""
    try:
        return check(value)
    except Invalid as error:
        raise serializers.ValidationError(error.detail, code=error.error_code) from error


class QueryIn(SearchIn):
    route = serializers.ChoiceField(choices=["auto", *Query.Route.values], default="auto")
    database = StrictText(max_length=MAX_NAME, required=False, allow_null=True)
    stream = StrictBoolean(default=False)
    use_cache = StrictBoolean(default=True)


class SourceOut(serializers.Serializer[Any]):
    n = serializers.IntegerField(help_text="What the answer cites as [n].")
    document_id = serializers.UUIDField()
    title = serializers.CharField()
    collection = serializers.CharField()
    page = serializers.IntegerField(
        allow_null=True, help_text="The first; from 1; null where the format has no pages."
    )
    last_page = serializers.IntegerField(allow_null=True)
    chunk_id = serializers.UUIDField(help_text="The best of its chunks, whose score it has.")
    chunk_ids = serializers.ListField(
        child=serializers.UUIDField(), help_text="Neighbouring chunks are one source."
    )
    start = serializers.IntegerField(help_text="Characters from the start of the document's text.")
    end = serializers.IntegerField()
    text = serializers.CharField(help_text="Exactly what stands at that span: data, and no instructions.")
    score = serializers.FloatField(help_text="0 to 1.")


class UnsupportedOut(serializers.Serializer[Any]):
    start = serializers.IntegerField(help_text="Characters from the start of the answer.")
    end = serializers.IntegerField()
    reason = serializers.ChoiceField(
        choices=get_args(support.Reason), help_text="The first thing that the sources lack."
    )


class SearchOut(serializers.Serializer[Any]):
    results = SourceOut(many=True)


class TokensOut(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_usd = serializers.FloatField()


class AnswerOut(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="In the history.")
    question = serializers.CharField()
    answer = serializers.CharField()
    standalone_question = serializers.CharField(
        allow_null=True,
        help_text="What a follow-up was taken to ask; null where it was looked for as it was asked.",
    )
    route = serializers.ChoiceField(choices=Query.Route.choices)
    sources = SourceOut(many=True)
    unsupported = UnsupportedOut(
        many=True, help_text="Sentences that no source supports, as far as words can tell."
    )
    sql = serializers.CharField(allow_null=True)
    columns = serializers.ListField(child=serializers.CharField(), allow_null=True)
    rows = serializers.ListField(child=serializers.ListField(), allow_null=True)
    from_cache = serializers.BooleanField()
    generator = serializers.CharField()
    model = serializers.CharField()
    fallback = serializers.BooleanField(help_text="It was quoted because no model answered.")
    usage = TokensOut()
    timings_ms = serializers.DictField(child=serializers.FloatField())
    response_time_ms = serializers.FloatField()


class AttemptOut(serializers.Serializer[Any]):
    model = serializers.CharField()
    endpoint = serializers.CharField(help_text="Its host.")
    started_at = serializers.DateTimeField()
    milliseconds = serializers.FloatField()
    outcome = serializers.CharField(help_text="`answered`, or a code that docs/errors.md has.")
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_usd = serializers.FloatField()


class FeedbackIn(StrictSerializer):
    rating = serializers.ChoiceField(choices=Feedback.Rating.choices)
    comment = StrictText(max_length=2_000, required=False, allow_blank=True, default="")


class FeedbackOut(serializers.ModelSerializer[Feedback]):
    class Meta:
        model = Feedback
        fields = ["rating", "comment", "created_at"]


class HistoryOut(serializers.ModelSerializer[Query]):
    usage = serializers.SerializerMethodField()
    attempts = serializers.SerializerMethodField()
    feedback = FeedbackOut(read_only=True, allow_null=True, default=None)
    conversation_id = serializers.UUIDField(read_only=True, allow_null=True)

    class Meta:
        model = Query
        fields = ["id", "conversation_id", "question", "standalone_question", "answer", "route", "sources",
                  "unsupported", "sql", "from_cache", "generator", "model", "usage", "attempts", "timings_ms",
                  "response_time_ms", "status", "error_code", "feedback", "created_at"]  # fmt: skip

    def get_usage(self, query: Query) -> dict[str, Any]:
        return {
            "prompt_tokens": query.prompt_tokens,
            "completion_tokens": query.completion_tokens,
            "cost_usd": float(query.cost_usd),
        }

    @extend_schema_field(AttemptOut(many=True, allow_null=True))
    def get_attempts(self, query: Query) -> list[dict[str, Any]] | None:
        """For business users alone: they name the endpoints that the site uses."""
        attempts: list[dict[str, Any]] = query.attempts
        return attempts if callers.of(self.context["request"]).is_business else None


class CacheOut(serializers.Serializer[Any]):
    hits = serializers.IntegerField()
    misses = serializers.IntegerField()
    hit_rate = serializers.FloatField()
    entries = serializers.IntegerField()
    bytes = serializers.IntegerField()
    limit_bytes = serializers.IntegerField(
        help_text="Beyond it the entries that were not used for longest make way."
    )
    ttl_seconds = serializers.IntegerField(help_text="How long an answer is kept.")
    evictions = serializers.IntegerField(help_text="Entries that made way for others.")
