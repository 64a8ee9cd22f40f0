"""The history of questions and answers, for operators."""

from django.contrib import admin

from queries.models import Conversation, Feedback, Query
from ragsite.lib.admins import ReadOnlyAdmin, ReadOnlyInline


@admin.register(Query)
class QueryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "question", "status", "generator", "model", "from_cache",
                    "response_time_ms", "cost_usd", "error_code"]  # fmt: skip
    list_filter = ["status", "from_cache", "generator", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["question"]


class MessagesInline(ReadOnlyInline):
    model = Query
    verbose_name_plural = "messages"
    fields = ["created_at", "question", "standalone_question", "answer", "status", "cost_usd"]
    readonly_fields = fields
    ordering = ["-id"]
    per_page = 20  # a conversation may have thousands


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    list_display = ["updated_at", "tenant", "title", "key", "user"]
    list_filter = ["tenant"]
    list_select_related = ["tenant", "key", "user"]
    search_fields = ["title"]
    readonly_fields = ["created_at", "updated_at"]
    inlines = [MessagesInline]


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "rating", "comment", "query"]
    list_filter = ["rating", "tenant"]
    list_select_related = ["tenant", "query"]
