"""For operators: the history of questions and answers, feedback, and a test of the models."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from unfold.decorators import action

from apikeys import usage
from apikeys.callers import Caller
from apikeys.usage import Entry
from queries.chats import admin as chats_admin  # noqa: F401  Django looks for admins here alone
from queries.evaluations import admin as evaluations_admin  # noqa: F401  as above
from queries.models import Feedback, Query
from queries.traces import explaining, replaying
from queries.traces.replaying import Replayed
from ragsite.lib import row_security
from ragsite.lib.admins import ReadOnlyAdmin
from ragsite.lib.errors import AppError, NotFound
from ragsite.lib.middleware import elapsed_ms, request_id
from ragsite.lib.problems import STATUS

_CHECKED = ["serves", "model", "endpoint", "circuit"]
_FOUND = {
    "well": "serves",
    "problem": "problem",
    "reachable": "reachable",
    "authenticated": "key accepted",
    "model_known": "model known",
    "answers": "answers",
    "streams": "streams",
    "reports_usage": "reports tokens",
    "milliseconds": "ms",
    "first_token_ms": "ms to first token",
}


@admin.register(Query)
class QueryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "question", "status", "trace_link", "rating", "model", "from_cache",
                    "response_time_ms", "cost_usd", "error_code"]  # fmt: skip
    list_filter = ["status", "from_cache", "feedback__rating", "generator", "tenant"]
    list_select_related = ["tenant", "feedback"]
    search_fields = ["question"]
    actions_list = ["models"]

    readonly_fields = ["rating", "trace_link"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("trace")  # larger than the rest of the row

    @admin.display(description="feedback", ordering="feedback__rating")
    def rating(self, query: Query) -> str:
        feedback = getattr(query, "feedback", None)  # Django raises where there is none
        return f"{feedback.rating}: {feedback.comment}".removesuffix(": ") if feedback else ""

    @admin.display(description="trace")
    def trace_link(self, query: Query) -> str:
        return format_html('<a href="{}">show</a>', reverse("admin:queries_query_trace", args=[query.pk]))

    def get_urls(self) -> list[Any]:
        own = [
            path("<uuid:pk>/trace/", self.admin_site.admin_view(self.trace_page), name="queries_query_trace"),
            path(
                "<uuid:pk>/replay/", self.admin_site.admin_view(self.replay_page), name="queries_query_replay"
            ),
        ]
        return own + super().get_urls()

    def trace_page(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._trace(request, self._query(request, pk))

    def replay_page(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        query = self._query(request, pk)
        if not self._may_replay(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        try:
            replayed = _replayed(request, query)
        except AppError as error:
            messages.warning(request, error.detail)
            return HttpResponseRedirect(reverse("admin:queries_query_trace", args=[pk]))
        return self._trace(request, query, replayed=replayed)

    def _query(self, request: HttpRequest, pk: UUID) -> Query:
        if not self.has_view_permission(request):
            raise PermissionDenied
        query = Query.objects.across_tenants().select_related("tenant", "feedback").filter(pk=pk).first()
        if query is None:
            raise Http404
        return query

    def _may_replay(self, request: HttpRequest) -> bool:
        """Replaying costs the tenant money, so that the right to look is not enough."""
        return request.user.has_perm("queries.change_query")

    def _trace(self, request: HttpRequest, query: Query, *, replayed: Replayed | None = None) -> HttpResponse:
        page: dict[str, Any] = {
            "title": "How it was answered",
            "query": query,
            "feedback": getattr(query, "feedback", None),
            "replayed": replayed,
            "may_replay": self._may_replay(request),
        }
        try:
            page["trace"] = explaining.explained(query)
        except NotFound as error:
            page["missing"] = error.detail
        return self.page(request, "queries/trace.html", **page)

    @action(description="Test the models", url_path="models", permissions=["view"])  # type: ignore[untyped-decorator]
    def models(self, request: HttpRequest) -> HttpResponse:
        """The models that the settings name; a POST tries them out."""
        # It loads the clients of vendors, which takes most of a second, and only this page needs it.
        from queries.generating import model_checks  # noqa: PLC0415  see above

        if request.method == "POST":
            rows = [_found(checked.shown()) for checked in model_checks.check()]
            headers = ["for", "model", "endpoint", "circuit", *_FOUND.values()]
        else:
            rows = [[getattr(model, name) for name in _CHECKED] for model in model_checks.configured()]
            headers = ["for", "model", "endpoint", "circuit"]
        table = {"headers": headers, "rows": rows}
        return self.page(request, "queries/models.html", title="Models", table=table)


def _replayed(request: HttpRequest, query: Query) -> Replayed:
    """Replays as the tenant, which is charged: an operator belongs to no tenant. The record of use settles the cost."""
    status = 200
    with row_security.within(query.tenant_id):
        try:
            return replaying.again(query, Caller(tenant_id=query.tenant_id), query_id=request_id(request))
        except AppError as error:
            status, _ = STATUS[type(error)]
            raise
        finally:
            usage.record(_entry(request, query, status=status))


def _entry(request: HttpRequest, query: Query, *, status: int) -> Entry:
    return Entry(
        id=request_id(request),
        tenant_id=query.tenant_id,
        endpoint=usage.endpoint(request),
        method=str(request.method),
        status=status,
        milliseconds=elapsed_ms(request),
    )


def _found(shown: dict[str, Any]) -> list[Any]:
    """A row of the table. The template escapes what an endpoint said."""
    words = {True: "yes", False: "NO", None: "–"}
    cells = [shown[name] for name in [*_CHECKED, *_FOUND]]
    return [words[cell] if cell is None or isinstance(cell, bool) else cell for cell in cells]


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "rating", "comment", "query"]
    list_filter = ["rating", "tenant"]
    list_select_related = ["tenant", "query"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("query__trace")
