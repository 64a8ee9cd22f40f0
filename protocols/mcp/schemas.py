"""JSON Schemas (2020-12) made from serializers, so that what is advertised is what is checked."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.drainage import get_override
from rest_framework import serializers

from protocols.mcp.messages import JSON
from ragsite.lib.fields import StrictText

Field = serializers.Field[Any, Any, Any, Any]


def of(fields: Mapping[str, Field]) -> JSON:
    """The schema of an object with these fields. Raises TypeError for a field of an unknown kind."""
    return {
        "type": "object",
        "properties": {name: _described(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
    }


def _described(field: Field) -> JSON:
    schema = get_override(field, "field") or _kind(field)
    if field.allow_null and field.required:  # an optional field is left out instead of null
        schema = {**schema, "type": [schema["type"], "null"]}
    return {**schema, "description": field.help_text} if field.help_text else schema


def _kind(field: Any) -> JSON:
    match field:
        case serializers.BaseSerializer():
            return _of_serializer(field)
        case serializers.ListField():
            return {"type": "array", "items": _described(field.child), **_known(maxItems=field.max_length)}
        case serializers.UUIDField():
            return {"type": "string", "format": "uuid"}
        case serializers.ChoiceField():
            return {"type": "string", "enum": [*field.choices]}
        case serializers.BooleanField():
            return {"type": "boolean"}
        case serializers.IntegerField():
            return {"type": "integer", **_known(minimum=field.min_value, maximum=field.max_value)}
        case serializers.FloatField():
            return {"type": "number"}
        case StrictText():
            least = None if field.allow_blank else 1
            return {"type": "string", **_known(minLength=least, maxLength=field.max_length)}
        case serializers.CharField():
            return {"type": "string"}
    raise TypeError(f"There is no schema of a {type(field).__name__}.")


def _of_serializer(field: Any) -> JSON:
    if isinstance(field, serializers.ListSerializer):
        return {"type": "array", "items": _kind(field.child)}
    return of(field.fields)


def _known(**bounds: int | None) -> JSON:
    return {name: bound for name, bound in bounds.items() if bound is not None}
