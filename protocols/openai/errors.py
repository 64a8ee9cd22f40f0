"""Errors as OpenAI's clients understand them."""

from typing import Any, Final

from ragsite.lib import error_forms
from ragsite.lib.error_forms import Document, Told

_BUDGET_SPENT: Final = 402
# Clients know a spent budget as a 429 of this type. A header tells them not to ask twice more, as they would.
_QUOTA: Final = "insufficient_quota"
_TYPES: Final = {_BUDGET_SPENT: _QUOTA, 429: "requests"}
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


def told(document: Document) -> Told:
    status = document["status"]
    if status == _BUDGET_SPENT:
        return Told(429, body(document), headers={"x-should-retry": "false"})
    return Told(status, body(document))


def body(document: Document) -> dict[str, Any]:
    """`param` and `code` are those of the first wrong field; the message names some more."""
    fields = document.get("errors", [])
    default = "server_error" if document["status"] >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": error_forms.message(document),
            "type": _TYPES.get(document["status"], default),
            "param": fields[0]["field"] if fields else None,
            "code": _code(document),
        }
    }


def _code(document: Document) -> str:
    fields = document.get("errors", [])
    if fields:
        return _FIELD_CODES.get(fields[0]["code"], "invalid_value")
    code: str = document["code"]
    return _CODES.get(code, code)
