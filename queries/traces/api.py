"""How past answers came about, and the same questions asked again, over HTTP."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apikeys import callers
from apikeys.permissions import HasBudget, IsBusiness
from queries import history
from queries.traces import explaining, replaying
from queries.traces.serializers import ReplayOut, TraceOut
from ragsite.lib.middleware import request_id


class TraceView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(responses=TraceOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """How an answer came about: each candidate's ranks and scores, the settings, attempts and timings."""
        query = history.visible(callers.of(request)).one(pk)
        return Response(TraceOut(explaining.explained(query)).data)


class ReplayView(APIView):
    permission_classes = [IsBusiness, HasBudget]

    @extend_schema(request=None, responses=ReplayOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Ask a past question again, of today's corpus with today's settings, and see what is different.

        It is asked with the rights of whoever asked then, or fewer, past the cache, and is recorded and charged.
        """
        caller = callers.of(request)
        query = history.visible(caller).one(pk)
        replayed = replaying.again(query, caller, query_id=request_id(request))
        own = {
            "id": replayed.made.query_id,
            "replay_of": query.pk,
            "question": query.question,
            "usage": replayed.made.spent,
        }
        return Response(ReplayOut({**own, **replayed.difference}).data)
