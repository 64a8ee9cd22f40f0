"""Serializer fields and bases that every app uses."""

from typing import Any

from rest_framework import serializers

from ragsite.lib import unseen

_OF_THE_PAGE = "csrfmiddlewaretoken"  # every form of the browsable API sends it


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a misspelt option is an error and not silently ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = {
                name: [serializers.ErrorDetail("There is no such field.", code="unknown")]
                for name in data
                if name not in self.fields and name != _OF_THE_PAGE
            }
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


class StrictInteger(serializers.IntegerField):
    """A JSON number, not "5", 5.0 or true."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictText(serializers.CharField):
    """A JSON string, not a number."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class NameText(StrictText):
    """What people call something; the admin holds its fields to the same."""

    default_validators = [unseen.check_name]  # noqa: RUF012  as DRF has it


class StrictBoolean(serializers.BooleanField):
    """true or false, not "yes" or 1."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictUUID(serializers.UUIDField):
    """A UUID as a JSON string, not a number."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)
