"""The bodies of traces and of what is different when a question is asked again."""

from typing import Any

from rest_framework import serializers

from queries.models import Query
from queries.serializers import AttemptOut, TokensOut, UnsupportedOut


class PlaceInLegOut(serializers.Serializer[Any]):
    rank = serializers.IntegerField(
        allow_null=True, help_text="From 1; null where no word of the question is in it."
    )
    score = serializers.FloatField()


class CandidateOut(serializers.Serializer[Any]):
    n = serializers.IntegerField(allow_null=True, help_text="Its number as a source; null: not given.")
    chunk_id = serializers.UUIDField()
    document_id = serializers.UUIDField()
    title = serializers.CharField(allow_null=True, help_text="Null: the document was removed since.")
    collection = serializers.CharField(allow_null=True)
    page = serializers.IntegerField(allow_null=True)
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    text = serializers.CharField(
        allow_null=True, help_text="Null: the document was removed or processed again since."
    )
    dense = PlaceInLegOut(help_text="By meaning; the score is the cosine similarity.")
    bm25 = PlaceInLegOut(help_text="By words.")
    fused = PlaceInLegOut(help_text="By both, 0 to 1.")


class TermOut(serializers.Serializer[Any]):
    word = serializers.CharField()
    idf = serializers.FloatField()


class PromptSourceOut(serializers.Serializer[Any]):
    n = serializers.IntegerField()
    tokens = serializers.IntegerField(help_text="Estimated.")


class PromptOut(serializers.Serializer[Any]):
    sources = PromptSourceOut(many=True)


class TraceOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    question = serializers.CharField()
    answer = serializers.CharField()
    status = serializers.ChoiceField(choices=Query.Status.choices)
    error_code = serializers.CharField()
    created_at = serializers.DateTimeField()
    from_cache = serializers.BooleanField()
    answer_of = serializers.UUIDField(
        allow_null=True,
        help_text="Of an answer from the cache: the query it was made for, whose trace this is.",
    )
    replay_of = serializers.UUIDField(allow_null=True)
    searched = serializers.CharField(help_text="A follow-up as it is meant in its conversation.")
    asked = serializers.DictField(help_text="The parameters that were given.")
    collections = serializers.ListField(
        child=serializers.UUIDField(), allow_null=True, help_text="What the caller could read; null: all."
    )
    settings = serializers.DictField(help_text="What the site and the tenant were set to.")
    terms = TermOut(many=True)
    considered = serializers.IntegerField(help_text="How many candidates there were, all told.")
    candidates = CandidateOut(many=True)
    prompt = PromptOut(allow_null=True, help_text="What a model was shown; null where none was asked.")
    attempts = AttemptOut(many=True)
    unsupported = UnsupportedOut(many=True, help_text="Sentences of the answer that no source supports.")
    timings_ms = serializers.DictField(child=serializers.FloatField())
    response_time_ms = serializers.FloatField()


class SourceChangeOut(serializers.Serializer[Any]):
    change = serializers.ChoiceField(choices=["same", "moved", "gained", "lost"])
    then = serializers.IntegerField(allow_null=True, help_text="Its number then.")
    now = serializers.IntegerField(allow_null=True)
    chunk_id = serializers.UUIDField()
    document_id = serializers.UUIDField()
    title = serializers.CharField(allow_null=True)
    page = serializers.IntegerField(allow_null=True)


class PieceOut(serializers.Serializer[Any]):
    change = serializers.ChoiceField(choices=["same", "removed", "added"])
    text = serializers.CharField()


class AnswerChangeOut(serializers.Serializer[Any]):
    then = serializers.CharField()
    now = serializers.CharField()
    pieces = PieceOut(many=True, help_text="The words of both in order.")


class SettingChangeOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    then = serializers.JSONField(allow_null=True)
    now = serializers.JSONField(allow_null=True)


class ReplayOut(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="Of the new query, which has a trace of its own.")
    replay_of = serializers.UUIDField()
    question = serializers.CharField()
    sources = SourceChangeOut(many=True)
    answer = AnswerChangeOut()
    settings = SettingChangeOut(many=True, help_text="What is set otherwise than then.")
    usage = TokensOut()
