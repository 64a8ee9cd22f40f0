"""Making evaluation sets and beginning runs in the admin."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
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
from ragsite.lib.errors import AppError


class NewSetForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs alone
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

    def clean(self) -> dict[str, Any]:
        """Makes it, which tells what is wrong with the file."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        try:
            with row_security.within(cleaned["tenant"].pk):
                self.made = self._make(cleaned)
        except AppError as error:
            lines = [field.detail for field in error.fields]
            raise ValidationError([error.detail, *lines]) from error
        return cleaned

    def _make(self, cleaned: dict[str, Any]) -> EvaluationSet:
        tenant_id, name = cleaned["tenant"].pk, cleaned["name"]
        if cleaned["origin"] == "file":
            content = cleaned["file"].read(reading.MAX_BYTES + 1) if cleaned["file"] else b""
            return sets.upload(tenant_id, name=name, content=content)
        return sets.from_past(
            tenant_id, name=name, origin=cleaned["origin"], days=cleaned["days"], limit=cleaned["limit"]
        )

    def _post_clean(self) -> None:
        """The row was made by `clean`; there is nothing of it left to validate."""


class SetField(forms.ModelChoiceField):  # type: ignore[type-arg]  # as above
    def label_from_instance(self, obj: Any) -> str:
        """Two tenants may have sets of one name."""
        return f"{obj} ({obj.tenant})"


class NewRunForm(forms.ModelForm):  # type: ignore[type-arg]  # as above
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

    def clean(self) -> dict[str, Any]:
        """Begins it, as the API does."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        asked = cleaned["set"]
        space = cleaned["space"]
        try:
            with row_security.within(asked.tenant_id):
                self.made = runs.begin(
                    asked,
                    name=cleaned["name"],
                    answers=cleaned["answers"],
                    prompt=cleaned["prompt"] or None,
                    top_k=cleaned["top_k"],
                    distance_threshold=cleaned["distance_threshold"],
                    model=cleaned["model"],
                    space=space.pk if space else None,
                )
        except AppError as error:
            lines = [field.detail for field in error.fields]
            raise ValidationError([error.detail, *lines]) from error
        return cleaned

    def _post_clean(self) -> None:
        """The row was made by `clean`; there is nothing of it left to validate."""
