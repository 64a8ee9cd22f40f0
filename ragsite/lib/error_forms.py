"""What is wrong with a request, in the words of its protocol.

Everybody hears a problem document (RFC 9457), but for clients that were written for something else: those of OpenAI's
API under /v1, and those of the Model Context Protocol, whose messages are JSON-RPC, at /mcp.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PROBLEM: Final = "application/problem+json"
JSON: Final = "application/json"
_OPENAI: Final = re.compile(r"^/v1(/|$)")
_MCP: Final = "/mcp"

Document = Mapping[str, Any]  # a problem document


@dataclass(frozen=True, slots=True)
class Told:
    status: int
    body: Mapping[str, Any]
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def told(path: str, document: Document) -> Told:
    """A problem as whoever calls this address understands it."""
    if _OPENAI.match(path):
        return _told_by_openai(document)
    if path == _MCP:
        return Told(document["status"], jsonrpc(document))
    return Told(document["status"], document, PROBLEM)


# OpenAI -------------------------------------------------------------------------------------------------------

BUDGET_SPENT: Final = 402
# Its clients know a spent budget as a 429 of this type, and would ask again, twice, if nobody told them not to.
_QUOTA: Final = "insufficient_quota"
_TYPES: Final = {BUDGET_SPENT: _QUOTA, 429: "requests"}
_CODES: Final = {
    "unauthenticated": "invalid_api_key",
    "budget_spent": _QUOTA,
    "rate_limited": "rate_limit_exceeded",
}
_FIELD_CODES: Final = {
    "unknown": "unknown_parameter",
    "unsupported": "unsupported_parameter",
    "required": "missing_required_parameter",
}
_MOST_FIELDS: Final = 3  # that the message names


def _told_by_openai(document: Document) -> Told:
    status = document["status"]
    if status == BUDGET_SPENT:
        return Told(429, openai(document), headers={"x-should-retry": "false"})
    return Told(status, openai(document))


def openai(document: Document) -> dict[str, Any]:
    """`param` and `code` are those of the first field that is wrong; the message names some more."""
    fields = document.get("errors", [])
    default = "server_error" if document["status"] >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": _message(document),
            "type": _TYPES.get(document["status"], default),
            "param": fields[0]["field"] if fields else None,
            "code": _code(document),
        }
    }


def _message(document: Document) -> str:
    said = [f"{error['field']}: {error['detail']}" for error in document.get("errors", [])[:_MOST_FIELDS]]
    return " ".join(said) or str(document["detail"])


def _code(document: Document) -> str:
    fields = document.get("errors", [])
    if fields:
        return _FIELD_CODES.get(fields[0]["code"], "invalid_value")
    code: str = document["code"]
    return _CODES.get(code, code)


# JSON-RPC -----------------------------------------------------------------------------------------------------

PARSE_ERROR: Final = -32700
INTERNAL_ERROR: Final = -32603
_JSONRPC_CODES: Final = {"malformed": PARSE_ERROR, "internal": INTERNAL_ERROR}


def jsonrpc(document: Document) -> dict[str, Any]:
    """An error that belongs to no message, since it was found before one was read.

    JSON-RPC keeps -32768 to -32000 to itself; what it has no code for has the HTTP status as its code.
    """
    error = {
        "code": _JSONRPC_CODES.get(document["code"], document["status"]),
        "message": _message(document),
        "data": {"code": document["code"], "request_id": document["request_id"]},
    }
    return {"jsonrpc": "2.0", "id": None, "error": error}
