"""Making and changing a webhook in the admin."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from ragsite.lib.errors import Conflict, Invalid
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


class NewWebhookForm(WebhookForm):
    made: tuple[Endpoint, str] | None = None  # the webhook and its secret, for the page that shows it once

    class Meta(WebhookForm.Meta):
        fields = ("tenant", "url", "events", "description")  # type: ignore[assignment]  # as many as it has

    def clean(self) -> dict[str, Any]:
        """Makes it as the API does, so that what refuses it is said on the form."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                self.made = endpoints.add(**cleaned)
            except Conflict as error:
                raise ValidationError(error.detail) from error
        return cleaned
