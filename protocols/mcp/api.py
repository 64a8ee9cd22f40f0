"""The Model Context Protocol over HTTP: each message is a POST and is answered by itself. There are no sessions."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.permissions import CanQuery
from protocols.mcp import messages, methods
from protocols.mcp.messages import RPCError
from protocols.programs import ProgramView
from ragsite.lib.errors import Forbidden
from ragsite.lib.middleware import note_status


class MCPView(ProgramView):
    permission_classes = [CanQuery]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        _check_origin(request)
        super().initial(request, *args, **kwargs)

    @extend_schema(exclude=True)  # JSON-RPC describes itself, by `tools/list`
    def post(self, request: Request) -> Response:
        body: Any = request.data
        try:
            message = messages.read(body, request.headers)
            if message.id is None:
                return Response(
                    status=202
                )  # a notification, which needs no answer; none changes anything here
            result = methods.answer(request, message)
        except RPCError as error:
            note_status(
                request, max(400, error.status)
            )  # the record of use has the true status, even where HTTP has 200
            return Response(error.shown(messages.identifier(body)), status=error.status)
        return Response({"jsonrpc": "2.0", "id": message.id, "result": result})


def _check_origin(request: Request) -> None:
    """Required by the protocol against DNS rebinding: no foreign page may reach a server on its visitor's machine."""
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.get_host()}"
    if origin is not None and origin not in {
        own,
        *settings.CORS_ALLOWED_ORIGINS,
        *settings.CSRF_TRUSTED_ORIGINS,
    }:
        raise Forbidden("Pages of this origin may not call this address.", code="origin")
