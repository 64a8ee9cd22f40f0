"""Conversations, for operators."""

from django.contrib import admin

from queries.models import Conversation, Query
from ragsite.lib.admins import ReadOnlyAdmin, ReadOnlyInline


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
