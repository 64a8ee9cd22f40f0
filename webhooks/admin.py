"""Webhooks and their deliveries, for operators."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from ragsite.lib.admins import AddsByForm, AuditedAdmin, ReadOnlyAdmin
from ragsite.lib.errors import Conflict
from webhooks import endpoints, tasks
from webhooks.forms import NewWebhookForm, WebhookForm
from webhooks.models import Delivery, Endpoint

OVERLAP = timedelta(days=1)  # in which receivers are given the new secrets


@admin.register(Endpoint)
class EndpointAdmin(AddsByForm, AuditedAdmin):
    """Made by business users over the API, or here by operators. The secret is shown once, where it is made."""

    list_display = ["__str__", "tenant", "url", "events", "enabled", "disabled_because", "failing_since"]
    list_filter = ["enabled", "disabled_because", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["url", "description", "tenant__name"]
    autocomplete_fields = ["tenant"]
    actions = ["rotate", "enable", "disable", "send_test"]
    form = WebhookForm
    new_form = NewWebhookForm
    fields = ["tenant", "url", "events", "description", "enabled", "disabled_because", "disabled_at", "failing_since",
              "previous_until", "created_at"]  # fmt: skip
    readonly_fields = ["tenant", "enabled", "disabled_because", "disabled_at", "failing_since", "previous_until",
                       "created_at"]  # fmt: skip

    @admin.action(description="Rotate the secrets of the selected webhooks; the old ones sign for a day more")
    def rotate(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> HttpResponse:
        rotated = [endpoints.rotate(endpoint, overlap=OVERLAP) for endpoint in queryset]
        return self._shown_once(request, rotated, "These sign from now on.")

    @admin.action(description="Switch the selected webhooks on")
    def enable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            endpoints.change(endpoint, enabled=True)

    @admin.action(description="Switch the selected webhooks off")
    def disable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            endpoints.change(endpoint, enabled=False)

    @admin.action(description="Send a test to the selected webhooks")
    def send_test(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            try:
                endpoints.send_test(endpoint)
            except Conflict as error:
                messages.warning(request, f"{endpoint}: {error.detail}")
        tasks.deliver.delay_on_commit()

    def save_model(
        self, request: HttpRequest, obj: Endpoint, form: "ModelForm[Endpoint]", change: bool
    ) -> None:
        if change:
            endpoints.change(obj, **{name: form.cleaned_data[name] for name in form.changed_data})

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        return self._shown_once(
            request, [(obj, obj.shown_once)], "The webhook was made. It signs with this secret."
        )

    def _shown_once(
        self, request: HttpRequest, shown: Sequence[tuple[Endpoint, str]], explanation: str
    ) -> HttpResponse:
        return self.page(
            request, "webhooks/shown_once.html", title="Webhooks", webhooks=shown, explanation=explanation
        )

    def delete_model(self, request: HttpRequest, obj: Endpoint) -> None:
        endpoints.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            endpoints.remove(endpoint)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its deliveries go with it, though they cannot be deleted by themselves; there may be too many to list."""
        return [str(endpoint) for endpoint in objs], {}, set(), []


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "endpoint", "tenant", "event", "status", "attempts", "error_code", "due_at",
                    "finished_at"]  # fmt: skip
    list_filter = ["status", "error_code", "event", "tenant"]
    list_select_related = ["endpoint", "tenant"]
    search_fields = ["document_id", "message", "endpoint__url"]
    exclude = ["claim"]
    actions = ["send_again"]

    @admin.action(description="Send the selected deliveries again")
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        for delivery in queryset.select_related("endpoint"):
            try:
                endpoints.send_again(delivery)
            except Conflict as error:
                messages.warning(request, f"{delivery}: {error.detail}")
        tasks.deliver.delay_on_commit()
