"""The bodies of OpenAI's API, as far as ragsite supports it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.serializers import ErrorDetail, ValidationError

from protocols.openai import parameters
from queries.answers import Ask, Turn
from queries.serializers import MAX_QUESTION, QueryIn, SourceOut, UnsupportedOut
from ragsite.lib.fields import StrictBoolean, StrictInteger, StrictSerializer, StrictText

MAX_MODEL: Final = 300
MAX_MESSAGES: Final = 500
MAX_INSTRUCTIONS: Final = 8_000  # characters of all system messages together
MAX_TEXTS: Final = 256
MAX_TEXT: Final = 8_000
_GUIDES: Final = frozenset({"system", "developer"})

# Chat -----------------------------------------------------------------------------------------------------------

_CONTENT = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}], "nullable": True}


@extend_schema_field(_CONTENT)
class ContentField(StrictText):
    """Text, or a list of parts of which each is text."""

    default_error_messages = {
        "part": 'Each part must be {{"type": "text", "text": …}}. ragsite reads no images, sound or files.'
    }

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(self._joined(data) if isinstance(data, list) else data)

    def _joined(self, parts: Sequence[Any]) -> str:
        for part in parts:
            if (
                not isinstance(part, dict)
                or part.get("type") != "text"
                or not isinstance(part.get("text"), str)
            ):
                self.fail("part")
        return "".join(part["text"] for part in parts)


class ChatMessageIn(StrictSerializer):
    role = serializers.ChoiceField(
        choices=["system", "developer", "user", "assistant"],
        error_messages={
            "invalid_choice": "“{input}” is no role here: system, developer, user and assistant are."
        },
    )
    content = ContentField(allow_blank=True, allow_null=True, required=False, trim_whitespace=False)
    name = StrictText(required=False, allow_null=True, allow_blank=True, max_length=200)

    def to_internal_value(self, data: Any) -> Any:
        # Clients send an answer back as they got it, with unknown fields that are empty.
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if name in self.fields or value}
        return super().to_internal_value(data)


class StreamOptionsIn(StrictSerializer):
    include_usage = StrictBoolean(default=False, allow_null=True)
    include_obfuscation = StrictBoolean(required=False, allow_null=True)


@extend_schema_serializer(exclude_fields=[*parameters.unsupported()])
class ChatCompletionIn(QueryIn):
    """A question in OpenAI's words. What ragsite knows besides (`collection`, `top_k` …) is as in POST /api/query."""

    question = None  # type: ignore[assignment]  # DRF's way to leave it out: it is the last message
    model = StrictText(max_length=MAX_MODEL, help_text="`ragsite`, or `ragsite/` and a collection.")
    messages = ChatMessageIn(many=True, allow_empty=False, max_length=MAX_MESSAGES)  # type: ignore[call-arg]
    stream = StrictBoolean(default=False, allow_null=True)
    stream_options = StreamOptionsIn(required=False, allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), **parameters.ignored(), **parameters.unsupported()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        said = [(message["role"], message.get("content") or "") for message in attrs["messages"]]
        instructions = "\n\n".join(text for role, text in said if role in _GUIDES).strip()
        talk = [Turn(role, text) for role, text in said if role not in _GUIDES and text.strip()]
        if not talk or talk[-1].role != "user":
            raise _wrong("The last message must be the user's question.", "invalid")
        question = talk.pop().text.strip()
        if len(question) > MAX_QUESTION:
            raise _wrong(f"The last message has more than {MAX_QUESTION} characters.", "max_length")
        if len(instructions) > MAX_INSTRUCTIONS:
            raise _wrong(f"The system messages have more than {MAX_INSTRUCTIONS} characters.", "max_length")
        return {**attrs, "question": question, "turns": tuple(talk), "instructions": instructions}

    def ask(self) -> Ask:
        data = self.validated_data
        return replace(super().ask(), turns=data["turns"], instructions=data["instructions"])

    @property
    def wants_usage(self) -> bool:
        return bool((self.validated_data.get("stream_options") or {}).get("include_usage"))


def _wrong(detail: str, code: str) -> ValidationError:
    return ValidationError({"messages": [ErrorDetail(detail, code=code)]})


class ChatReplyOut(serializers.Serializer[Any]):
    role = serializers.CharField()
    content = serializers.CharField(help_text="Cites the sources as [n].")
    refusal = serializers.CharField(allow_null=True)


class ChatChoiceOut(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    message = ChatReplyOut()
    finish_reason = serializers.CharField()
    logprobs = serializers.JSONField(allow_null=True)


class TokenUsageOut(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    cost_usd = serializers.FloatField()


class ChatCompletionOut(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="`chatcmpl-` and the answer's id in the history.")
    object = serializers.CharField()
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = ChatChoiceOut(many=True)
    usage = TokenUsageOut()
    sources = SourceOut(many=True)
    unsupported = UnsupportedOut(many=True)
    from_cache = serializers.BooleanField()


# Embeddings and models --------------------------------------------------------------------------------------------


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
class TextsField(serializers.ListField):
    """One text or several."""

    child = StrictText(max_length=MAX_TEXT, trim_whitespace=False)
    default_error_messages = {
        "tokens": "Tokens are not read, since their numbers mean something else to each model. Send the text itself."
    }

    def to_internal_value(self, data: Any) -> Any:
        texts = [data] if isinstance(data, str) else data
        first = texts[0] if isinstance(texts, list) and texts else None
        if isinstance(first, int | list) and not isinstance(first, bool):
            self.fail("tokens")
        return super().to_internal_value(texts)


class EmbeddingsIn(StrictSerializer):
    input = TextsField(allow_empty=False, max_length=MAX_TEXTS)
    model = StrictText(max_length=MAX_MODEL)
    encoding_format = serializers.ChoiceField(choices=["float", "base64"], default="float", allow_null=True)
    dimensions = StrictInteger(min_value=1, required=False, allow_null=True)
    user = StrictText(required=False, allow_null=True, allow_blank=True, max_length=200)


class EmbeddingOut(serializers.Serializer[Any]):
    object = serializers.CharField()
    index = serializers.IntegerField()
    embedding = serializers.ListField(
        child=serializers.FloatField(), help_text="With `base64`: a text, float32 from its low end."
    )


class EmbeddingsUsageOut(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class EmbeddingsOut(serializers.Serializer[Any]):
    object = serializers.CharField()
    data = EmbeddingOut(many=True)  # type: ignore[assignment]  # a field, which DRF takes out of the class
    model = serializers.CharField()
    usage = EmbeddingsUsageOut()


class ListedModelOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    owned_by = serializers.CharField()


class ModelListOut(serializers.Serializer[Any]):
    object = serializers.CharField()
    data = ListedModelOut(many=True)  # type: ignore[assignment]  # as above
