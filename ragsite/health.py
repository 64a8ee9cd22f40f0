"""Whether the site is alive, able to serve, and how its parts are."""

from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from documents.embedding import spaces
from documents.models import Document, EmbeddingSpace
from ragsite.celery import app
from ragsite.lib import redis_client, row_security
from ragsite.lib.errors import AppError
from ragsite.lib.inference import embeddings
from ragsite.lib.redis_client import DOWN


def alive(request: HttpRequest) -> JsonResponse:
    """The process answers. Asks nothing of anything else, so that a dead database restarts no web server."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """Able to answer questions: Postgres is there and the question's model is loaded. Redis may be missing."""
    parts = {"postgres": _works(_postgres), "redis": _works(_redis), "model": _works(_model)}
    able = parts["postgres"] and parts["model"]
    return JsonResponse(
        {"status": "ready" if able else "not ready", "parts": parts}, status=200 if able else 503
    )


class StatusView(APIView):
    """Details for staff."""

    authentication_classes = [SessionAuthentication]
    permission_classes = [IsAdminUser]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        space = spaces.active()
        return Response(
            {
                "postgres": _works(_postgres),
                "redis": _works(_redis),
                "model": _works(_model),
                "space": str(space),
                "settings_differ": _differing(space),
                "space_building": _building(),
                "workers": _workers() if _works(_redis) else [],
                "documents_unfinished": _unfinished(),
            }
        )


def _differing(space: EmbeddingSpace) -> dict[str, str] | None:
    told = spaces.mismatch(space)
    return told and told._asdict()


def _building() -> dict[str, Any] | None:
    space = spaces.building()
    if space is None:
        return None
    return {"space": str(space), "percent": space.percent, "problem": space.problem}


def _unfinished() -> int:
    with row_security.across():
        return Document.objects.across_tenants().filter(status__in=["queued", "processing"]).count()


def _workers() -> list[str]:
    return sorted(name for reply in app.control.ping(timeout=0.5) or [] for name in reply)


def _works(check: Callable[[], Any]) -> bool:
    try:
        check()
    except (DatabaseError, AppError, *DOWN):
        return False
    return True


def _postgres() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM documents_embeddingspace LIMIT 1")


def _redis() -> None:
    redis_client.guarded(lambda client: client.ping())


def _model() -> None:
    """A probe is what warms a web process: one that would let its first question wait for the model is not ready."""
    model = spaces.model(spaces.active())
    if model.provider == "local":
        embeddings.warm(model)
