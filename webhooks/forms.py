"""Making and changing a webhook in the admin."""

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from ragsite.lib.admins import NewRowForm
from ragsite.lib.errors import Invalid
from webhooks import endpoints
from webhooks.models import Endpoint, Event


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs alone
    events = forms.MultipleChoiceField(
        choices=Event.choices, initial=Event.values, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    class Meta:
        model = Endpoint
        fields = ("url", "events", "description")

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            endpoints.check(url)
        except Invalid as error:
            raise ValidationError(error.fields[0].detail) from error
        return url


class NewWebhookForm(WebhookForm, NewRowForm):
    class Meta(WebhookForm.Meta):
        fields = ("tenant", "url", "events", "description")  # type: ignore[assignment]  # as many as it has

    def save(self, commit: bool = True) -> Endpoint:
        made, secret = endpoints.add(**self.cleaned_data)
        made.shown_once = secret  # type: ignore[attr-defined]  # for the answer alone
        return made
