"""Messages of the Model Context Protocol, which are JSON-RPC, in the revisions that are spoken here.

Up to 2025-11-25 a client begins with `initialize`. From 2026-07-28 on ("modern") each message names its revision in
`_meta`, and HTTP headers repeat it. Neither needs any memory between messages.
https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ragsite.lib.problems import readable

# Not 2025-03-26: it allows many messages in a request, and rate limits count requests.
HANDSHAKE: Final = ("2025-06-18", "2025-11-25")
MODERN: Final = ("2026-07-28",)
VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"

INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

_NAMED: Final = {"tools/call": "name"}  # the parameter that the header Mcp-Name repeats

Headers = Mapping[str, str]  # with case-insensitive names
JSON = dict[str, Any]


class RPCError(Exception):
    """A message that cannot be answered. `status` is HTTP's."""

    def __init__(self, code: int, message: str, *, status: int = 400, data: JSON | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.data = data

    def shown(self, identifier: str | int | None) -> JSON:
        error = {
            "code": self.code,
            "message": readable(str(self)),
            **({"data": self.data} if self.data else {}),
        }
        return {"jsonrpc": "2.0", "id": identifier, "error": error}


@dataclass(frozen=True, slots=True)
class Message:
    """A valid message. `id` None: a notification, which gets no answer. `modern`: of revision 2026-07-28 or later."""

    id: str | int | None
    method: str
    params: JSON
    modern: bool


def identifier(body: Mapping[str, Any]) -> str | int | None:
    """The id of a body that may not be a valid message."""
    found = body.get("id")
    if isinstance(found, str):
        return found if found == readable(found) else None  # it is sent back unchanged or not at all
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def read(body: Mapping[str, Any], headers: Headers) -> Message:
    """Raises RPCError."""
    method, params = body.get("method"), body.get("params", {})
    known_id = "id" not in body or identifier(body) is not None
    if body.get("jsonrpc") != "2.0" or not isinstance(method, str) or not known_id:
        raise RPCError(INVALID_REQUEST, "This is no JSON-RPC request or notification.")
    if not isinstance(params, dict):
        raise RPCError(INVALID_PARAMS, "`params` must be an object.")
    said = headers.get("MCP-Protocol-Version")
    if said not in {None, *HANDSHAKE, *MODERN}:
        raise _unsupported(str(said))
    meta = params.get("_meta")
    modern = said in MODERN or (isinstance(meta, dict) and VERSION_KEY in meta)
    if modern and "id" in body:
        _check_modern(method, params, headers)
    return Message(identifier(body), method, params, modern)


def _check_modern(method: str, params: JSON, headers: Headers) -> None:
    """Checks `_meta`, and that the headers repeat the message: a proxy may have decided by the headers alone."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or VERSION_KEY not in meta or CAPABILITIES_KEY not in meta:
        raise RPCError(INVALID_PARAMS, f"`params._meta` must have {VERSION_KEY} and {CAPABILITIES_KEY}.")
    _check_header(headers.get("MCP-Protocol-Version"), meta[VERSION_KEY], "MCP-Protocol-Version")
    _check_header(headers.get("Mcp-Method"), method, "Mcp-Method")
    if method in _NAMED:
        _check_header(_decoded(headers.get("Mcp-Name")), params.get(_NAMED[method]), "Mcp-Name")
    if meta[VERSION_KEY] not in MODERN:
        raise _unsupported(str(meta[VERSION_KEY]))


def _check_header(said: str | None, meant: Any, name: str) -> None:
    if said is None or said != meant:
        raise RPCError(HEADER_MISMATCH, f"The header {name} is not what the message says.")


def _decoded(value: str | None) -> str | None:
    """The value of a header, which may be Base64 between marks; None where that cannot be decoded."""
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _unsupported(version: str) -> RPCError:
    data = {"supported": [*reversed(MODERN), *reversed(HANDSHAKE)], "requested": readable(version)}
    return RPCError(UNSUPPORTED_VERSION, "Unsupported protocol version", data=data)


def unknown_method(message: Message) -> RPCError:
    # Clients from before 2026-07-28 take a 404 for the end of their session.
    status = 404 if message.modern else 200
    return RPCError(METHOD_NOT_FOUND, f"There is no method “{message.method}”.", status=status)


def invalid_params(message: Message, detail: str) -> RPCError:
    return RPCError(INVALID_PARAMS, detail, status=400 if message.modern else 200)
