"""Collections, documents, chunks and spaces, for operators."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html

from accounts import corpus
from documents import indexing, states, tasks
from documents.embedding import space_changes
from documents.forms import NewSpaceForm
from documents.models import Chunk, Collection, CorpusStatistics, Document, EmbeddingSpace
from ragsite.lib.admins import AddsByForm, ReadOnlyAdmin, SiteAdmin
from ragsite.lib.errors import AppError, Conflict


@admin.register(Collection)
class CollectionAdmin(SiteAdmin):
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

    list_display = ["title", "tenant", "collection", "media_type", "status", "stage", "pages", "unread", "chunks",
                    "replaces", "error_code", "created_at"]  # fmt: skip
    list_filter = ["status", "error_code", "media_type", "tenant"]
    list_select_related = ["tenant", "collection"]
    search_fields = ["title", "filename", "sha256"]
    exclude = ["file", "claim"]
    actions = ["reprocess", "remove"]

    @admin.display(description="replaces earlier ones", boolean=True)
    def replaces(self, document: Document) -> bool:
        return document.replaces

    @admin.display(description="unread pages")
    def unread(self, document: Document) -> str:
        return str(len(document.unread_pages) or "")

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
class EmbeddingSpaceAdmin(AddsByForm, ReadOnlyAdmin):
    """To add one is to begin to build it; the rest is done by the actions."""

    list_display = ["__str__", "state", "progress", "problem", "created_at", "drops_at"]
    actions = ["switch", "cancel", "drop"]
    exclude = ["cursor_tenant", "cursor_chunk", "claim"]
    new_form = NewSpaceForm

    @admin.display(description="built")
    def progress(self, space: EmbeddingSpace) -> str:
        if space.state != EmbeddingSpace.State.BUILDING:
            return ""
        return format_html(
            '<progress value="{0}" max="100">{0} %</progress> {0} % of about {1} chunks',
            space.percent,
            space.total,
        )

    @admin.action(description="Let what is built serve, once it is complete", permissions=["operate"])
    def switch(self, request: HttpRequest, queryset: QuerySet[EmbeddingSpace]) -> None:
        self._carried_out(request, queryset, space_changes.switch, "It serves as soon as it is complete.")

    @admin.action(description="Give up what is being built", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[EmbeddingSpace]) -> None:
        self._carried_out(
            request, queryset, space_changes.cancel, "It was given up; its vectors are dropped."
        )

    @admin.action(description="Drop the vectors of retired spaces now", permissions=["operate"])
    def drop(self, request: HttpRequest, queryset: QuerySet[EmbeddingSpace]) -> None:
        self._carried_out(request, queryset, space_changes.drop, "Its vectors are dropped within minutes.")

    def _carried_out(
        self,
        request: HttpRequest,
        queryset: QuerySet[EmbeddingSpace],
        change: Callable[[EmbeddingSpace], object],
        outcome: str,
    ) -> None:
        for space in queryset:
            try:
                change(space)
            except AppError as error:
                messages.warning(request, f"{space}: {error.detail}")
            else:
                messages.success(request, f"{space}: {outcome}")
        tasks.tend_spaces.delay_on_commit()

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("documents.change_embeddingspace")

    def save_model(self, request: HttpRequest, obj: EmbeddingSpace, form: Any, change: bool) -> None:
        tasks.tend_spaces.delay_on_commit()


@admin.register(CorpusStatistics)
class CorpusStatisticsAdmin(ReadOnlyAdmin):
    list_display = ["tenant", "chunks", "length", "average"]
    list_select_related = ["tenant"]
    exclude = ["average_length"]
    readonly_fields = ["average"]

    @admin.display(description="average length", ordering="average_length")
    def average(self, statistics: CorpusStatistics) -> str:
        return f"{statistics.average_length:.1f}"
