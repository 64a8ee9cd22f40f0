"""Evaluation sets, runs and two runs side by side, for operators."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from unfold.admin import ModelAdmin

from queries import tasks
from queries.evaluations import comparing, states
from queries.evaluations.forms import NewRunForm, NewSetForm
from queries.evaluations.scoring import MEASURES
from queries.models import EvaluationQuestion, EvaluationRun, EvaluationSet
from ragsite.lib.admins import AddsByForm, ReadOnlyAdmin
from ragsite.lib.errors import AppError

MOST_SHOWN = 200  # questions on a page


class _NeverEdited(AddsByForm, ReadOnlyAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ModelAdmin.has_delete_permission(self, request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Lists only the rows themselves: what is deleted with them may be too much to list."""
        return [str(row) for row in objs], {}, set(), []


@admin.register(EvaluationSet)
class EvaluationSetAdmin(_NeverEdited):
    list_display = ["name", "tenant", "size", "created_at"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "tenant__name"]
    readonly_fields = ["first_questions"]
    new_form = NewSetForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[EvaluationSet]:
        return super().get_queryset(request).annotate(size=Count("questions"))

    @admin.display(description="questions", ordering="size")
    def size(self, row: EvaluationSet) -> int:
        return row.size  # type: ignore[attr-defined]  # annotated above

    @admin.display(description="the first questions")
    def first_questions(self, row: EvaluationSet) -> Any:
        questions = EvaluationQuestion.objects.for_tenant(row.tenant_id).filter(set=row)[:20]
        return "\n".join(f"{question.ordinal}. {question.question}" for question in questions)


@admin.register(EvaluationRun)
class EvaluationRunAdmin(_NeverEdited):
    list_display = [
        "__str__",
        "set",
        "tenant",
        "status",
        "progress",
        "tried",
        "cost_usd",
        "created_at",
        "results",
    ]
    list_filter = ["status", "tenant"]
    list_select_related = ["set", "tenant", "space"]
    search_fields = ["name", "set__name"]
    exclude = ["claim", "leased_until", "attempts", "stepped_at"]
    actions = ["cancel", "compare"]
    new_form = NewRunForm

    @admin.display(description="asked")
    def progress(self, run: EvaluationRun) -> str:
        return format_html('<progress value="{0}" max="{1}"></progress> {0} of {1}', run.done, run.total)

    @admin.display(description="tried out")
    def tried(self, run: EvaluationRun) -> str:
        names = ("prompt", "top_k", "distance_threshold", "model", "space")
        return ", ".join(name for name in names if getattr(run, name) not in (None, ""))

    @admin.display(description="results")
    def results(self, run: EvaluationRun) -> str:
        return format_html(
            '<a href="{}">show</a>', reverse("admin:queries_evaluationrun_results", args=[run.pk])
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        tasks.evaluate.delay_on_commit()

    @admin.action(description="End the selected runs", permissions=["delete"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[EvaluationRun]) -> None:
        for run in queryset:
            try:
                states.cancel(run)
            except AppError as error:
                messages.warning(request, f"{run}: {error.detail}")

    @admin.action(description="Compare the two selected runs")
    def compare(self, request: HttpRequest, queryset: QuerySet[EvaluationRun]) -> HttpResponse | None:
        chosen = list(queryset.order_by("pk").values_list("pk", flat=True))
        if len(chosen) != 2:
            messages.warning(request, "Select two runs of one set.")
            return None
        asked = urlencode({"before": str(chosen[0]), "after": str(chosen[1])})
        return HttpResponseRedirect(f"{reverse('admin:queries_evaluationrun_compare')}?{asked}")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        own = [
            path("compare/", view(self.comparison_page), name="queries_evaluationrun_compare"),
            path("<uuid:pk>/results/", view(self.results_page), name="queries_evaluationrun_results"),
        ]
        return own + super().get_urls()

    def results_page(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        run = self._run(request, str(pk))
        rows = states.results(run).select_related("question").order_by("question__ordinal")
        page = {"run": run, "results": rows[:MOST_SHOWN], "measures": MEASURES, "title": f"Results of {run}"}
        return self.page(request, "queries/results.html", **page)

    def comparison_page(self, request: HttpRequest) -> HttpResponse:
        before, after = (self._run(request, request.GET.get(name, "")) for name in ("before", "after"))
        try:
            compared = comparing.compare(before, after, limit=MOST_SHOWN)
        except AppError as error:
            messages.warning(request, error.detail)
            return HttpResponseRedirect(reverse("admin:queries_evaluationrun_changelist"))
        return self.page(request, "queries/comparison.html", title="Two runs", compared=compared)

    def _run(self, request: HttpRequest, identifier: str) -> EvaluationRun:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = EvaluationRun.objects.across_tenants().select_related("set", "tenant", "space")
            return rows.one(identifier)
        except AppError as error:
            raise Http404 from error
