"""The parameters of OpenAI's API that are ignored here, and those that are refused."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rest_framework import serializers

from ragsite.lib.fields import StrictBoolean, StrictInteger, StrictText

_MAX_NAME: Final = 200

# Values that ask for nothing, for any parameter.
_NOTHING: Final[Sequence[Any]] = (None, False, 0, "", [], {})


class Unsupported(serializers.Field[Any, Any, Any, Any]):
    """Refuses a parameter for something that ragsite does not do: ignored, it would seem to be done."""

    def __init__(self, *harmless: Any) -> None:
        super().__init__(required=False, allow_null=True)
        self._harmless = (*_NOTHING, *harmless)

    def to_internal_value(self, data: Any) -> None:
        if data not in self._harmless:
            raise serializers.ValidationError(
                "ragsite does not support this. Leave it out.", code="unsupported"
            )


class Number(serializers.FloatField):
    """A JSON number."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


def ignored() -> Mapping[str, serializers.Field[Any, Any, Any, Any]]:
    """Checked and then ignored: the site's settings decide how a model is asked."""
    optional: dict[str, Any] = {"required": False, "allow_null": True}
    name: dict[str, Any] = {**optional, "allow_blank": True, "max_length": _MAX_NAME}
    return {
        "temperature": Number(min_value=0, max_value=2, **optional),
        "top_p": Number(min_value=0, max_value=1, **optional),
        "frequency_penalty": Number(min_value=-2, max_value=2, **optional),
        "presence_penalty": Number(min_value=-2, max_value=2, **optional),
        "max_tokens": StrictInteger(min_value=1, **optional),
        "max_completion_tokens": StrictInteger(min_value=1, **optional),
        "seed": StrictInteger(**optional),
        "user": StrictText(**name),
        "safety_identifier": StrictText(**name),
        "prompt_cache_key": StrictText(**name),
        "service_tier": StrictText(**name),
        "reasoning_effort": StrictText(**name),
        "verbosity": StrictText(**name),
        "parallel_tool_calls": StrictBoolean(allow_null=True, required=False),
    }


def unsupported() -> Mapping[str, serializers.Field[Any, Any, Any, Any]]:
    """Refused, unless the value asks for nothing."""
    return {
        "n": Unsupported(1),
        "stop": Unsupported(),
        "tools": Unsupported(),
        "tool_choice": Unsupported("none", "auto"),
        "functions": Unsupported(),
        "function_call": Unsupported("none", "auto"),
        "response_format": Unsupported({"type": "text"}),
        "modalities": Unsupported(["text"]),
        "audio": Unsupported(),
        "prediction": Unsupported(),
        "logprobs": Unsupported(),
        "top_logprobs": Unsupported(),
        "logit_bias": Unsupported(),
        "web_search_options": Unsupported(),
        "moderation": Unsupported(),
        "store": Unsupported(),
    }
