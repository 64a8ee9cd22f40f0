"""Beginning an embedding space in the admin."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from documents import space_changes
from documents.models import EmbeddingSpace
from ragsite.lib.errors import AppError


class NewSpaceForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs alone
    provider = forms.ChoiceField(
        choices=[(name, name) for name in space_changes.PROVIDERS], widget=UnfoldAdminSelectWidget
    )
    precision = forms.ChoiceField(
        choices=[("", "---"), ("int8", "int8"), ("fp32", "fp32")],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Of the local model.",
    )
    dimensions = forms.IntegerField(
        required=False,
        min_value=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: as many as the model gives.",
    )

    class Meta:
        model = EmbeddingSpace
        fields = ("provider", "model", "precision", "dimensions", "base_url", "switches")

    def clean(self) -> dict[str, Any]:
        """Begins it, which is the only way to know whether the model can be had so."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        try:
            wanted = space_changes.target(
                f"{cleaned['provider']}:{cleaned['model']}",
                precision=cleaned["precision"],
                dimensions=cleaned["dimensions"],
                base_url=cleaned["base_url"],
            )
            self.begun = space_changes.begin(wanted, switches=cleaned["switches"])
        except AppError as error:
            raise ValidationError(error.detail) from error
        return cleaned

    def _post_clean(self) -> None:
        """The row was made by `begin`; there is nothing of it left to validate."""
