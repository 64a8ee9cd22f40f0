"""What the API's endpoints share besides errors (`problems`): strict JSON, lists, pages of a list."""

from typing import Any
from uuid import UUID

from rest_framework import exceptions
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from ragsite.lib import errors

NO_STORE = {"Cache-Control": "no-store"}  # an answer that shows a secret, this once


class StrictJSONParser(JSONParser):
    """JSON as RFC 8259 has it: an object, in UTF-8 whatever a client's header calls it, and no NaN."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            body = super().parse(stream, media_type, {**(parser_context or {}), "encoding": "utf-8"})
        except RecursionError as error:
            raise exceptions.ParseError("The JSON is nested too deeply.") from error
        if not isinstance(body, dict):
            raise exceptions.ParseError("The body must be a JSON object.")
        return body


class TakesIn:
    """A mixin of a list that also takes something in: the browsable page makes its form of `body_class`."""

    body_class: type[BaseSerializer[Any]]
    request: Any

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        listed: type[BaseSerializer[Any]] = super().get_serializer_class()  # type: ignore[misc]  # a mixin
        return self.body_class if self.request.method == "POST" else listed


class Pages(CursorPagination):
    """`{"results", "next", "previous"}`, newest first; `limit` is capped."""

    ordering = ("-id",)  # version 7 ids sort by time
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                UUID(str(cursor.position))  # it goes into a query as it is
        except (exceptions.NotFound, ValueError) as error:
            field = errors.FieldError("cursor", "cursor", "The cursor is not one that this list gave out.")
            raise errors.Invalid("Some fields are wrong.", fields=[field]) from error
        return cursor

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self.get_next_link(), "previous": self.get_previous_link()})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "nullable": True, "format": "uri"}
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "properties": {"results": schema, "next": link, "previous": link},
        }
