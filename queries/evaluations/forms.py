"""Making evaluation sets and beginning runs in the admin."""

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from documents.models import EmbeddingSpace
from queries.evaluations import reading, runs, sets
from queries.models import EvaluationRun, EvaluationSet
from ragsite.lib import row_security
from ragsite.lib.admins import NewRowForm


class NewSetForm(NewRowForm):
    origin = forms.ChoiceField(
        choices=[
            ("file", "a CSV file"),
            ("feedback", "answers that were rated up"),
            ("history", "all answers that were given"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    file = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="In UTF-8, with a line of headings: question, and any of document (a file name or id), page, answer.",
    )
    days = forms.IntegerField(
        min_value=1, max_value=400, initial=90, widget=UnfoldAdminIntegerFieldWidget, help_text="Of the past."
    )
    limit = forms.IntegerField(
        min_value=1, max_value=reading.MAX_QUESTIONS, initial=200, widget=UnfoldAdminIntegerFieldWidget
    )

    class Meta:
        model = EvaluationSet
        fields = ("tenant", "name")

    def save(self, commit: bool = True) -> EvaluationSet:
        wanted = dict(self.cleaned_data)
        tenant_id, file = wanted.pop("tenant").pk, wanted.pop("file")
        with row_security.within(tenant_id):
            if wanted["origin"] != "file":
                return sets.from_past(tenant_id, **wanted)
            content = file.read(reading.MAX_BYTES + 1) if file else b""
            return sets.upload(tenant_id, name=wanted["name"], content=content)


class SetField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in its stubs alone
    def label_from_instance(self, obj: Any) -> str:
        """Two tenants may have sets of one name."""
        return f"{obj} ({obj.tenant})"


class NewRunForm(NewRowForm):
    set = SetField(
        queryset=EvaluationSet.objects.across_tenants().select_related("tenant"),
        widget=UnfoldAdminSelectWidget,
    )
    space = forms.ModelChoiceField(
        queryset=EmbeddingSpace.objects.exclude(state=EmbeddingSpace.State.DROPPED),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Empty: the one that serves.",
    )
    prompt = forms.CharField(
        required=False, widget=UnfoldAdminTextareaWidget, help_text="Empty: the tenant's prompt."
    )

    class Meta:
        model = EvaluationRun
        fields = ("set", "name", "answers", "prompt", "top_k", "distance_threshold", "model", "space")

    def clean_prompt(self) -> str | None:
        return self.cleaned_data["prompt"] or None

    def save(self, commit: bool = True) -> EvaluationRun:
        wanted = dict(self.cleaned_data)
        asked, space = wanted.pop("set"), wanted.pop("space")
        with row_security.within(asked.tenant_id):
            return runs.begin(asked, **wanted, space=space.pk if space else None)
