"""Beginning an embedding space in the admin."""

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from documents.embedding import space_changes
from documents.models import EmbeddingSpace
from ragsite.lib.admins import NewRowForm


class NewSpaceForm(NewRowForm):
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

    def save(self, commit: bool = True) -> EmbeddingSpace:
        wanted = dict(self.cleaned_data)
        switches, name = wanted.pop("switches"), f"{wanted.pop('provider')}:{wanted.pop('model')}"
        return space_changes.begin(space_changes.target(name, **wanted), switches=switches)
