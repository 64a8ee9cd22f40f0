"""The bodies of evaluation sets, runs and results."""

from typing import Any

from rest_framework import serializers

from queries.evaluations import reading
from queries.models import EvaluationQuestion, EvaluationResult, EvaluationRun, EvaluationSet
from queries.serializers import MAX_TOP_K
from queries.traces.serializers import SettingChangeOut
from ragsite.lib.fields import (
    NameText,
    StrictBoolean,
    StrictInteger,
    StrictSerializer,
    StrictText,
    StrictUUID,
)

MAX_NAME = 100
MAX_PROMPT = 20_000


class SetIn(StrictSerializer):
    """A form, like an upload of a document."""

    name = NameText(max_length=MAX_NAME)
    file = serializers.FileField(
        max_length=None,
        allow_empty_file=True,
        help_text="CSV in UTF-8 with a line of headings: question, and any of document, page, answer.",
    )


class PastSetIn(StrictSerializer):
    name = NameText(max_length=MAX_NAME)
    origin = serializers.ChoiceField(
        choices=["feedback", "history"], help_text="Answers that were rated up, or all that were given."
    )
    days = StrictInteger(min_value=1, max_value=400, default=90)
    limit = StrictInteger(min_value=1, max_value=reading.MAX_QUESTIONS, default=200)


class SetOut(serializers.ModelSerializer[EvaluationSet]):
    questions = serializers.IntegerField(source="size")

    class Meta:
        model = EvaluationSet
        fields = ["id", "name", "questions", "created_at"]


class ExpectedOut(serializers.Serializer[Any]):
    document_id = serializers.UUIDField(allow_null=True, help_text="Null: whichever has the file name.")
    filename = serializers.CharField()
    page = serializers.IntegerField(allow_null=True)


class SetQuestionOut(serializers.ModelSerializer[EvaluationQuestion]):
    expected = ExpectedOut(many=True)

    class Meta:
        model = EvaluationQuestion
        fields = ["id", "ordinal", "question", "expected", "answer"]


class RunIn(StrictSerializer):
    set = StrictUUID()
    name = NameText(max_length=MAX_NAME, default="", allow_blank=True)
    answers = StrictBoolean(default=True, help_text="false: retrieval alone, which calls no chat model.")
    prompt = StrictText(
        max_length=MAX_PROMPT,
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="In the place of the tenant's prompt.",
    )
    top_k = StrictInteger(min_value=1, max_value=MAX_TOP_K, required=False, allow_null=True)
    distance_threshold = serializers.FloatField(min_value=0, max_value=2, required=False, allow_null=True)
    model = StrictText(max_length=200, default="", allow_blank=True)
    space = StrictUUID(
        required=False, allow_null=True, help_text="Another embedding space than the one that serves."
    )


class RunOut(serializers.ModelSerializer[EvaluationRun]):
    set = serializers.UUIDField(source="set_id")
    space = serializers.UUIDField(source="space_id", allow_null=True)
    progress = serializers.SerializerMethodField()
    cost_usd = serializers.FloatField()

    class Meta:
        model = EvaluationRun
        fields = ["id", "set", "name", "status", "answers", "prompt", "top_k", "distance_threshold", "model", "space",
                  "settings", "progress", "summary", "cost_usd", "error_code", "error_detail", "created_at",
                  "started_at", "finished_at"]  # fmt: skip
        read_only_fields = fields

    def get_progress(self, run: EvaluationRun) -> dict[str, int]:
        return {"done": run.done, "total": run.total}


class ResultOut(serializers.ModelSerializer[EvaluationResult]):
    question_id = serializers.UUIDField()
    question = serializers.CharField(source="question.question")
    cost_usd = serializers.FloatField()

    class Meta:
        model = EvaluationResult
        fields = ["id", "question_id", "question", "status", "error_code", "scores", "ranking", "answer", "citations",
                  "milliseconds", "prompt_tokens", "completion_tokens", "cost_usd"]  # fmt: skip


class ComparisonFilter(StrictSerializer):
    """The query string of a comparison."""

    other = serializers.UUIDField(help_text="The run to compare it with, of the same set.")
    limit = serializers.IntegerField(min_value=1, max_value=500, default=100)
    format = serializers.CharField(required=False)


class MeasureOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    questions = serializers.IntegerField(help_text="That have it in both runs.")
    before = serializers.FloatField()
    after = serializers.FloatField()
    difference = serializers.FloatField()
    low = serializers.FloatField(help_text="The 95 % interval of the difference.")
    high = serializers.FloatField()
    p = serializers.FloatField(help_text="Paired bootstrap, two-sided.")
    better = serializers.IntegerField()
    worse = serializers.IntegerField()


class ComparedOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    question = serializers.CharField()
    before = ResultOut()
    after = ResultOut()
    differences = serializers.DictField(child=serializers.FloatField())


class ComparisonOut(serializers.Serializer[Any]):
    before = RunOut()
    after = RunOut()
    settings = SettingChangeOut(many=True)
    questions_compared = serializers.IntegerField()
    measures = MeasureOut(many=True)
    latency = serializers.DictField()
    questions = ComparedOut(many=True, help_text="Those that differ most come first.")
