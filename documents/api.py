"""Documents over HTTP."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.models import Tenant
from accounts.tenancy import TenantQuerySet
from apikeys import callers, retries
from apikeys.callers import Caller
from apikeys.permissions import CanIngest
from documents import indexing, intake, states, tasks, uploads
from documents.models import Collection, Document, DocumentText
from documents.serializers import DocumentFilter, DocumentOut, UploadIn
from ragsite.lib.api import TakesIn
from ragsite.lib.errors import NotFound


class DocumentsView(TakesIn, ListAPIView[Document]):
    permission_classes = [CanIngest]
    parser_classes = [uploads.UploadParser]
    serializer_class = DocumentOut
    body_class = UploadIn
    queryset = Document.objects.none()

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        uploads.limit(request)
        return super().initialize_request(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Document]:
        wanted = DocumentFilter(data=self.request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        caller = callers.of(self.request)
        documents = readable(caller)
        if "status" in wanted.validated_data:
            documents = documents.filter(status=wanted.validated_data["status"])
        if "collection" in wanted.validated_data:
            documents = documents.filter(
                collection=_readable_collection(caller, wanted.validated_data["collection"])
            )
        return documents

    @extend_schema(parameters=[DocumentFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The tenant's documents, newest first."""
        return super().get(request, *args, **kwargs)

    @extend_schema(request=UploadIn, responses={202: DocumentOut, 200: DocumentOut})
    @retries.answered_once
    def post(self, request: Request) -> Response:
        """Upload a file. 202: it is stored and will be processed. 200: these bytes are there already."""
        uploads.refuse_repeated(request.data)
        body = UploadIn(data=request.data)
        uploads.check(request._request)  # noqa: SLF001  DRF has no name for Django's own request
        body.is_valid(raise_exception=True)
        caller = callers.of(request)
        document, queued = _store(caller, body.validated_data)
        if queued:
            tasks.hint(document)
        return Response(
            DocumentOut(document).data,
            status=202 if queued else 200,
            headers={"Location": reverse("document", [document.pk], request=request)},
        )


class DocumentView(APIView):
    permission_classes = [CanIngest]

    @extend_schema(responses=DocumentOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """A document, and how far its processing is."""
        return Response(DocumentOut(readable(callers.of(request)).one(pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove a document with its chunks, vectors, file and every cached answer."""
        indexing.remove(readable(callers.of(request)).one(pk))
        return Response(status=204)


class DocumentTextView(APIView):
    permission_classes = [CanIngest]

    @extend_schema(responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request, pk: UUID) -> HttpResponse:
        """The document's text as decoded: what the spans of its sources count in."""
        caller = callers.of(request)
        document = readable(caller).one(pk)
        decoded = DocumentText.objects.for_tenant(caller.tenant_id).one(document.pk)
        # Plain text that no browser may take for anything else, whatever the document holds.
        return HttpResponse(
            decoded.text,
            content_type="text/plain; charset=utf-8",
            headers={"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"},
        )


class ReprocessView(APIView):
    permission_classes = [CanIngest]

    @extend_schema(request=None, responses={202: DocumentOut})
    def post(self, request: Request, pk: UUID) -> Response:
        """Process a finished document again. A ready one can be searched as it was meanwhile."""
        document = readable(callers.of(request)).one(pk)
        states.queue_again(document)
        tasks.hint(document)
        return Response(DocumentOut(document).data, status=202)


def readable(caller: Caller) -> TenantQuerySet[Document]:
    """The documents that the caller may see."""
    documents = Document.objects.for_tenant(caller.tenant_id).select_related("collection")
    return documents if caller.collections is None else documents.filter(collection__in=caller.collections)


def _store(caller: Caller, upload: dict[str, Any]) -> tuple[Document, bool]:
    tenant = caller.tenant()
    return intake.store(
        tenant=tenant,
        chunks=upload["file"].chunks(),
        filename=upload["file"].name,
        collection=_collection(caller, tenant, upload["collection"]),
        metadata=upload.get("metadata"),
        uploaded_by=caller.user(),
    )


def _collection(caller: Caller, tenant: Tenant, name: str) -> Collection:
    if caller.collections is None:
        return intake.collection_named(tenant, name)
    return _readable_collection(caller, name)


def _readable_collection(caller: Caller, name: str) -> Collection:
    """The collection by its name or id. One that the caller may not read is as one that is not there."""
    found = intake.existing_collection(caller.tenant_id, name)
    if caller.collections is not None and found.pk not in caller.collections:
        raise NotFound("There is no such collection.")
    return found
