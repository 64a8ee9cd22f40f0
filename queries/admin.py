"""The history of questions and answers, and a test of the models, for operators."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.decorators import action

from queries.models import Conversation, Feedback, Query
from ragsite.lib.admins import ReadOnlyAdmin, ReadOnlyInline

_CHECKED = ["serves", "model", "endpoint", "circuit"]
_FOUND = {
    "well": "serves",
    "reachable": "reachable",
    "authenticated": "key accepted",
    "model_known": "model known",
    "answers": "answers",
    "streams": "streams",
    "reports_usage": "reports tokens",
    "milliseconds": "ms",
    "first_token_ms": "ms to first token",
    "problem": "problem",
}


@admin.register(Query)
class QueryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "question", "status", "generator", "model", "from_cache",
                    "response_time_ms", "cost_usd", "error_code"]  # fmt: skip
    list_filter = ["status", "from_cache", "generator", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["question"]
    actions_list = ["models"]

    @action(description="Test the models", url_path="models", permissions=["view"])  # type: ignore[untyped-decorator]
    def models(self, request: HttpRequest) -> HttpResponse:
        """The models that the settings name; a POST tries them out."""
        # Its clients of vendors take most of a second to load, which only this page is to pay.
        from queries import model_checks  # noqa: PLC0415  see above

        if request.method == "POST":
            rows = [_found(checked.shown()) for checked in model_checks.check()]
            headers = ["for", "model", "endpoint", "circuit", *_FOUND.values()]
        else:
            rows = [[getattr(model, name) for name in _CHECKED] for model in model_checks.configured()]
            headers = ["for", "model", "endpoint", "circuit"]
        page = {
            **self.admin_site.each_context(request),
            "title": "Models",
            "table": {"headers": headers, "rows": rows},
        }
        return TemplateResponse(request, "queries/models.html", page, headers={"Cache-Control": "no-store"})


def _found(shown: dict[str, Any]) -> list[Any]:
    """A row of text: what an endpoint said is escaped where it is shown."""
    words = {True: "yes", False: "NO", None: "–"}
    cells = [shown[name] for name in [*_CHECKED, *_FOUND]]
    return [words[cell] if cell is None or isinstance(cell, bool) else cell for cell in cells]


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
