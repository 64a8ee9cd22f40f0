"""Every place of a request in which an id or a name can stand, as the OpenAPI document has them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.yaml"
# Formats of strings that name nothing.
_VALUES = {"date", "date-time", "decimal"}


class Place(NamedTuple):
    """`operation`: "POST /api/query". `where`: path, query, header, cookie or body. `name`: "document_ids[]" for a list's items."""

    operation: str
    where: str
    name: str


def places() -> set[Place]:
    """Where a string or an object of the client's choosing goes in: not numbers, choices or moments."""
    document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return set(_walk(document))


def _walk(document: Mapping[str, Any]) -> Iterator[Place]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", []):
                for field in _fields(document, parameter["schema"], parameter["name"]):
                    yield Place(name, parameter["in"], field)
            for body in operation.get("requestBody", {}).get("content", {}).values():
                for field in _fields(document, body["schema"], ""):
                    yield Place(name, "body", field)


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any], name: str) -> Iterator[str]:
    """The names of a schema's free strings and objects, those of nested objects with dots between."""
    for inner in [*schema.get("allOf", []), *schema.get("oneOf", []), *schema.get("anyOf", [])]:
        yield from _fields(document, inner, name)
    if "$ref" in schema:
        yield from _fields(
            document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], name
        )
    elif schema.get("type") == "array":
        yield from _fields(document, schema["items"], f"{name}[]")
    elif schema.get("properties") and "$gt" not in schema["properties"]:  # comparisons are one value
        for field, inner in schema["properties"].items():
            yield from _fields(document, inner, f"{name}.{field}" if name else field)
    elif schema.get("type") == "object" or _is_free(schema):
        yield name


def _is_free(schema: Mapping[str, Any]) -> bool:
    return (
        schema.get("type") == "string" and "enum" not in schema and schema.get("format") not in _VALUES
    ) or not (schema.keys() & {"type", "enum", "allOf", "oneOf", "anyOf"})
