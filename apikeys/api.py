"""Keys and usage over HTTP."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tenancy import TenantQuerySet
from apikeys import budgets, callers, keys, summary, tally
from apikeys.callers import Caller
from apikeys.models import APIKey
from apikeys.permissions import IsBusiness, IsKey
from apikeys.serializers import (
    KeyDetailOut,
    KeyIn,
    KeyOut,
    NewKeyOut,
    Period,
    RotateIn,
    SelfOut,
    TenantUsageOut,
    UsageOut,
)
from ragsite.lib.api import NO_STORE, TakesIn


class KeysView(TakesIn, ListAPIView[APIKey]):
    permission_classes = [IsBusiness]
    serializer_class = KeyOut
    body_class = KeyIn
    queryset = APIKey.objects.none()

    def get_queryset(self) -> QuerySet[APIKey]:
        return _keys(callers.of(self.request))

    @extend_schema(request=KeyIn, responses={201: NewKeyOut})
    def post(self, request: Request) -> Response:
        """Make a key. The answer shows it, this once."""
        body = KeyIn(data=request.data)
        body.is_valid(raise_exception=True)
        caller = callers.of(request)
        wanted: dict[str, Any] = dict(body.validated_data)
        key, raw = keys.mint(
            tenant=caller.tenant(),
            owner=caller.user(),
            collection_ids=keys.existing_collections(caller.tenant_id, wanted.pop("collections", None)),
            **wanted,
        )
        return _shown_once(key, raw)


class KeyView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(responses=KeyDetailOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """A key, without the key, and what is left of its budget."""
        return Response(KeyDetailOut(_keys(callers.of(request)).one(pk)).data)


class RotateView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(request=RotateIn, responses={201: NewKeyOut})
    def post(self, request: Request, pk: UUID) -> Response:
        """Make the key's successor. Both work until the overlap ends."""
        key = _keys(callers.of(request)).one(pk)
        body = RotateIn(data=request.data)
        body.is_valid(raise_exception=True)
        overlap = timedelta(seconds=body.validated_data["overlap_seconds"])
        return _shown_once(*keys.rotate(key, overlap=overlap))


class RevokeView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(request=None, responses=KeyOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """End a key, at once and for good."""
        key = _keys(callers.of(request)).one(pk)
        keys.revoke(key)
        return Response(KeyOut(key).data)


class KeyUsageView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(parameters=[Period], responses=UsageOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """What a key, and the keys it was rotated from, have used."""
        key = _keys(callers.of(request)).one(pk)
        return Response(UsageOut(summary.of_key(key, days=_days(request))).data)


class SelfView(APIView):
    permission_classes = [IsKey]

    @extend_schema(parameters=[Period], responses=SelfOut)
    def get(self, request: Request) -> Response:
        """Who this key is, its limits, and what it has used so far."""
        caller = callers.of(request)
        key = _keys(caller).one(str(caller.key_id))
        usage = UsageOut(summary.of_key(key, days=_days(request))).data
        return Response({**KeyDetailOut(key).data, "usage": usage})


class UsageView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(parameters=[Period], responses=TenantUsageOut)
    def get(self, request: Request) -> Response:
        """What the tenant has used, by day, endpoint and key, and what is left of its budget."""
        caller = callers.of(request)
        usage = summary.of_tenant(caller.tenant_id, days=_days(request))
        return Response(
            TenantUsageOut({**usage, "budget": budgets.statement(budgets.of_tenant(caller))}).data
        )


def _keys(caller: Caller) -> TenantQuerySet[APIKey]:
    of_tenant = (
        APIKey.objects.for_tenant(caller.tenant_id).select_related("owner").prefetch_related("collections")
    )
    return tally.counted(of_tenant)


def _days(request: Request) -> int:
    period = Period(data=request.query_params.dict())
    period.is_valid(raise_exception=True)
    return int(period.validated_data["days"])


def _shown_once(key: APIKey, raw: str) -> Response:
    return Response(NewKeyOut(key, context={"raw": raw}).data, status=201, headers=NO_STORE)
