"""Webhooks over HTTP."""

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
from apikeys import callers
from apikeys.permissions import IsBusiness
from ragsite.lib.api import NO_STORE, TakesIn
from webhooks import endpoints, tasks
from webhooks.models import Delivery, Endpoint
from webhooks.serializers import (
    DeliveryOut,
    NewWebhookOut,
    WebhookChanges,
    WebhookIn,
    WebhookOut,
    WebhookRotateIn,
)


class WebhooksView(TakesIn, ListAPIView[Endpoint]):
    """The tenant's webhooks, newest first."""

    permission_classes = [IsBusiness]
    serializer_class = WebhookOut
    body_class = WebhookIn
    queryset = Endpoint.objects.none()

    def get_queryset(self) -> QuerySet[Endpoint]:
        return _endpoints(self.request)

    @extend_schema(request=WebhookIn, responses={201: NewWebhookOut})
    def post(self, request: Request) -> Response:
        """Make a webhook. The answer shows its secret, this once."""
        body = WebhookIn(data=request.data)
        body.is_valid(raise_exception=True)
        return _shown_once(*endpoints.add(callers.of(request).tenant(), **body.validated_data))


class WebhookView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(responses=WebhookOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """A webhook, without its secret, and how it does."""
        return Response(WebhookOut(_endpoints(request).one(pk)).data)

    @extend_schema(request=WebhookChanges, responses=WebhookOut)
    def patch(self, request: Request, pk: UUID) -> Response:
        """Change a webhook, switch it off, or on again."""
        endpoint = _endpoints(request).one(pk)
        body = WebhookChanges(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(WebhookOut(endpoints.change(endpoint, **body.validated_data)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove a webhook with its deliveries. What is under way at this moment still arrives."""
        endpoints.remove(_endpoints(request).one(pk))
        return Response(status=204)


class WebhookRotateView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(request=WebhookRotateIn, responses={201: NewWebhookOut})
    def post(self, request: Request, pk: UUID) -> Response:
        """Make a new secret. Until the overlap ends messages have two signatures, the new one's first."""
        endpoint = _endpoints(request).one(pk)
        body = WebhookRotateIn(data=request.data)
        body.is_valid(raise_exception=True)
        overlap = timedelta(seconds=body.validated_data["overlap_seconds"])
        return _shown_once(*endpoints.rotate(endpoint, overlap=overlap))


class WebhookTestView(APIView):
    permission_classes = [IsBusiness]

    @extend_schema(request=None, responses={202: DeliveryOut})
    def post(self, request: Request, pk: UUID) -> Response:
        """Send the message `webhook.test`. The deliveries tell how it went."""
        delivery = endpoints.send_test(_endpoints(request).one(pk))
        tasks.deliver.delay_on_commit()
        return Response(DeliveryOut(delivery).data, status=202)


class WebhookDeliveriesView(ListAPIView[Delivery]):
    permission_classes = [IsBusiness]
    serializer_class = DeliveryOut
    queryset = Delivery.objects.none()

    def get_queryset(self) -> QuerySet[Delivery]:
        endpoint = _endpoints(self.request).one(self.kwargs["pk"])
        return Delivery.objects.for_tenant(endpoint.tenant_id).filter(endpoint=endpoint)

    @extend_schema(responses=DeliveryOut(many=True))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What was sent to a webhook or waits to be, newest first, with each try."""
        return super().get(request, *args, **kwargs)


def _endpoints(request: Request) -> TenantQuerySet[Endpoint]:
    return Endpoint.objects.for_tenant(callers.of(request).tenant_id)


def _shown_once(endpoint: Endpoint, secret: str) -> Response:
    return Response(NewWebhookOut(endpoint, context={"secret": secret}).data, status=201, headers=NO_STORE)
