"""The history of questions and answers, for operators."""

from django.contrib import admin

from queries.models import Feedback, Query
from ragsite.lib.admins import ReadOnlyAdmin


@admin.register(Query)
class QueryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "question", "status", "generator", "model", "from_cache",
                    "response_time_ms", "cost_usd", "error_code"]  # fmt: skip
    list_filter = ["status", "from_cache", "generator", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["question"]


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "rating", "comment", "query"]
    list_filter = ["rating", "tenant"]
    list_select_related = ["tenant", "query"]
