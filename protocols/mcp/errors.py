"""Errors as JSON-RPC has them, for what fails before a message is read: they have no message's id."""

from typing import Final

from ragsite.lib import error_forms
from ragsite.lib.error_forms import Document, Told

# JSON-RPC reserves -32768 to -32000. An error for which it has no code gets the HTTP status as its code.
_CODES: Final = {"malformed": -32700, "internal": -32603}


def told(document: Document) -> Told:
    error = {
        "code": _CODES.get(document["code"], document["status"]),
        "message": error_forms.message(document),
        "data": {"code": document["code"], "request_id": document["request_id"]},
    }
    return Told(document["status"], {"jsonrpc": "2.0", "id": None, "error": error})
