"""What is wrong with a request, as JSON-RPC has it: an error that belongs to no message, found before one was read."""

from typing import Final

from ragsite.lib import error_forms
from ragsite.lib.error_forms import Document, Told

# JSON-RPC keeps -32768 to -32000 to itself; what it has no code for has the HTTP status as its code.
_CODES: Final = {"malformed": -32700, "internal": -32603}


def told(document: Document) -> Told:
    error = {
        "code": _CODES.get(document["code"], document["status"]),
        "message": error_forms.message(document),
        "data": {"code": document["code"], "request_id": document["request_id"]},
    }
    return Told(document["status"], {"jsonrpc": "2.0", "id": None, "error": error})
