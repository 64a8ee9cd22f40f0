"""Collections, documents, chunks and spaces, for operators."""

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts import corpus
from documents import indexing, states, tasks
from documents.models import Chunk, Collection, CorpusStatistics, Document, EmbeddingSpace
from ragsite.lib.admins import ReadOnlyAdmin
from ragsite.lib.errors import Conflict


@admin.register(Collection)
class CollectionAdmin(ModelAdmin):
    list_display = ["name", "tenant", "documents_count", "created_at"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "tenant__name"]
    autocomplete_fields = ["tenant"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Collection]:
        return super().get_queryset(request).annotate(documents_count=Count("documents"))

    @admin.display(description="documents", ordering="documents_count")
    def documents_count(self, collection: Collection) -> int:
        return collection.documents_count  # type: ignore[attr-defined]  # annotated above

    @transaction.atomic
    def save_model(
        self, request: HttpRequest, obj: Collection, form: "ModelForm[Collection]", change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        corpus.changed(obj.tenant_id)  # answers name it

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["tenant"] if obj else []  # documents do not move between tenants


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    """Documents come in over the API; here they are looked at, processed again and removed."""

    list_display = ["title", "tenant", "collection", "media_type", "status", "stage", "pages", "chunks", "error_code",
                    "created_at"]  # fmt: skip
    list_filter = ["status", "error_code", "media_type", "tenant"]
    list_select_related = ["tenant", "collection"]
    search_fields = ["title", "filename", "sha256"]
    exclude = ["file", "claim"]
    actions = ["reprocess", "remove"]

    @admin.action(description="Process the selected documents again")
    def reprocess(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        for document in queryset:
            try:
                states.queue_again(document)
            except Conflict as error:
                messages.warning(request, f"{document}: {error.detail}")
            else:
                tasks.hint(document)

    @admin.action(description="Remove the selected documents from the corpus")
    def remove(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        for document in queryset:
            indexing.remove(document)
        messages.success(request, "They were removed, with everything made of them.")


@admin.register(Chunk)
class ChunkAdmin(ReadOnlyAdmin):
    list_display = ["document", "ordinal", "heading", "first_page", "start", "end", "tenant"]
    list_filter = ["tenant"]
    list_select_related = ["document", "tenant"]
    search_fields = ["document__title"]
    exclude = ["terms", "weights"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chunk]:
        return super().get_queryset(request).defer("terms", "weights")


@admin.register(EmbeddingSpace)
class EmbeddingSpaceAdmin(ReadOnlyAdmin):
    list_display = ["provider", "model", "precision", "dimensions", "state", "created_at"]


@admin.register(CorpusStatistics)
class CorpusStatisticsAdmin(ReadOnlyAdmin):
    list_display = ["tenant", "chunks", "length", "average_length"]
    list_select_related = ["tenant"]
