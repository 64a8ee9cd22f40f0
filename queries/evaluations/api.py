"""Evaluation sets, runs and their comparison over HTTP: for business users."""

from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tenancy import TenantQuerySet
from apikeys import callers
from apikeys.permissions import IsBusiness
from documents import uploads
from queries import tasks
from queries.evaluations import comparing, reading, runs, sets, states
from queries.evaluations.serializers import (
    ComparisonFilter,
    ComparisonOut,
    PastSetIn,
    ResultOut,
    RunIn,
    RunOut,
    SetIn,
    SetOut,
    SetQuestionOut,
)
from queries.models import EvaluationQuestion, EvaluationResult, EvaluationRun, EvaluationSet
from ragsite.lib.api import TakesIn


class SetsView(TakesIn, ListAPIView[EvaluationSet]):
    """The tenant's evaluation sets, newest first."""

    permission_classes = [IsBusiness]
    parser_classes = [uploads.UploadParser]
    serializer_class = SetOut
    body_class = SetIn
    queryset = EvaluationSet.objects.none()

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        uploads.limit(request)
        return super().initialize_request(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[EvaluationSet]:
        found: QuerySet[EvaluationSet] = _sets(self.request)
        return found

    @extend_schema(request=SetIn, responses={201: SetOut})
    def post(self, request: Request) -> Response:
        """Make a set of a CSV file: a question a line, and the document that answers it by its file name or id."""
        uploads.refuse_repeated(request.data)
        body = SetIn(data=request.data)
        uploads.check(request._request)  # noqa: SLF001  DRF has no name for Django's own request
        body.is_valid(raise_exception=True)
        content = body.validated_data["file"].read(reading.MAX_BYTES + 1)
        tenant_id = callers.of(request).tenant_id
        made = sets.upload(tenant_id, name=body.validated_data["name"], content=content)
        return Response(SetOut(_sets(request).one(made.pk)).data, status=201)


class PastSetView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(request=PastSetIn, responses={201: SetOut})
    def post(self, request: Request) -> Response:
        """Make a set of past questions, each expecting the documents that its answer cited."""
        body = PastSetIn(data=request.data)
        body.is_valid(raise_exception=True)
        made = sets.from_past(callers.of(request).tenant_id, **body.validated_data)
        return Response(SetOut(_sets(request).one(made.pk)).data, status=201)


class SetView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(responses=SetOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """A set."""
        return Response(SetOut(_sets(request).one(pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove a set with its runs and their results."""
        _sets(request).one(pk).delete()
        return Response(status=204)


class SetQuestionsView(ListAPIView[EvaluationQuestion]):
    permission_classes = [IsBusiness]
    serializer_class = SetQuestionOut
    queryset = EvaluationQuestion.objects.none()

    def get_queryset(self) -> QuerySet[EvaluationQuestion]:
        found = _sets(self.request).one(self.kwargs["pk"])
        return EvaluationQuestion.objects.for_tenant(found.tenant_id).filter(set=found)

    @extend_schema(responses=SetQuestionOut(many=True))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The questions of a set, the last first."""
        return super().get(request, *args, **kwargs)


class RunsView(TakesIn, ListAPIView[EvaluationRun]):
    """The tenant's runs, newest first."""

    permission_classes = [IsBusiness]
    serializer_class = RunOut
    body_class = RunIn
    queryset = EvaluationRun.objects.none()

    def get_queryset(self) -> QuerySet[EvaluationRun]:
        return _runs(self.request)

    @extend_schema(request=RunIn, responses={202: RunOut})
    def post(self, request: Request) -> Response:
        """Ask every question of a set in the background, as the tenant is set or with some of that otherwise."""
        body = RunIn(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = dict(body.validated_data)
        run = runs.begin(_sets(request).one(wanted.pop("set")), **wanted)
        tasks.evaluate.delay_on_commit()
        return Response(RunOut(_runs(request).one(run.pk)).data, status=202)


class RunView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(responses=RunOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """A run: how far it is, and at its end the means."""
        return Response(RunOut(_runs(request).one(pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove a run with its results; one that is in work ends."""
        _runs(request).one(pk).delete()
        return Response(status=204)


class RunCancelView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(request=None, responses=RunOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """End a run after the question that it is at. Its results stay."""
        return Response(RunOut(states.cancel(_runs(request).one(pk))).data)


class ResultsView(ListAPIView[EvaluationResult]):
    permission_classes = [IsBusiness]
    serializer_class = ResultOut
    queryset = EvaluationResult.objects.none()

    def get_queryset(self) -> QuerySet[EvaluationResult]:
        return states.results(_runs(self.request).one(self.kwargs["pk"])).select_related("question")

    @extend_schema(responses=ResultOut(many=True))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The results of a run, the last first."""
        return super().get(request, *args, **kwargs)


class ComparisonView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(parameters=[ComparisonFilter], responses=ComparisonOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Another run of the same set (`other`, before) and this one (after), question by question."""
        after = _runs(request).one(pk)
        wanted = ComparisonFilter(data=request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        before = _runs(request).one(wanted.validated_data["other"])
        compared = comparing.compare(before, after, limit=wanted.validated_data["limit"])
        return Response(ComparisonOut(compared).data)


def _sets(request: Request) -> Any:  # a TenantQuerySet[EvaluationSet], each with its `size`
    return EvaluationSet.objects.for_tenant(callers.of(request).tenant_id).annotate(size=Count("questions"))


def _runs(request: Request) -> TenantQuerySet[EvaluationRun]:
    return EvaluationRun.objects.for_tenant(callers.of(request).tenant_id).select_related("set", "space")
