"""Keys and usage, for operators."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.timezone import localtime

from apikeys import budgets, copies, keys, tally
from apikeys.forms import NewKeyForm
from apikeys.models import APIKey, Usage
from ragsite.lib.admins import AddsByForm, AuditedAdmin, ReadOnlyAdmin
from ragsite.lib.errors import Conflict

OVERLAP = timedelta(days=1)  # in which clients are given the keys that take the place of theirs


@admin.register(APIKey)
class APIKeyAdmin(AddsByForm, AuditedAdmin):
    """Made by business users over the API, or here by operators. A key is shown once, in the answer that makes it."""

    list_display = [
        "name",
        "key_prefix",
        "tenant",
        "scopes",
        "rate_limit",
        "monthly_budget_usd",
        "is_usable",
        "uses",
        "used_at",
    ]
    list_filter = ["tenant", ("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["tenant"]
    search_fields = ["name", "key_prefix", "tenant__name"]
    actions = ["rotate", "revoke"]
    autocomplete_fields = ["tenant", "owner"]
    fields = ["name", "tenant", "owner", "key_prefix", "scopes", "restricted", "networks", "rate_limit", "burst",
              "monthly_budget_usd", "spent_this_month", "expires_at", "revoked_at", "rotated_from", "uses",
              "used_at", "created_at"]  # fmt: skip
    readonly_fields = ["tenant", "owner", "key_prefix", "scopes", "restricted", "spent_this_month", "revoked_at",
                       "rotated_from", "uses", "used_at", "created_at"]  # fmt: skip
    new_form = NewKeyForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[APIKey]:
        return tally.counted(super().get_queryset(request))

    @admin.display(description="usage count", ordering="uses")
    def uses(self, key: APIKey) -> int:
        return key.uses  # type: ignore[attr-defined]  # annotated above

    @admin.display(description="last used", ordering="used_at")
    def used_at(self, key: APIKey) -> str | None:
        moment = key.used_at  # type: ignore[attr-defined]  # annotated above
        return moment and date_format(localtime(moment), "DATETIME_FORMAT")

    @admin.display(boolean=True, description="in use")
    def is_usable(self, key: APIKey) -> bool:
        return key.is_usable

    @admin.display(description="spent this month")
    def spent_this_month(self, key: APIKey) -> str:
        """On a key's own page alone: over a list of keys it would add up every record of the month."""
        return f"{budgets.statement(budgets.of_key(key))['spent_usd']:.6f} USD"

    @admin.action(description="Revoke the selected keys, for good")
    def revoke(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> None:
        for key in queryset:
            keys.revoke(key)
        messages.success(request, f"{len(queryset)} keys were revoked.")

    @admin.action(description="Rotate the selected keys; they work for a day more")
    def rotate(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> HttpResponse | None:
        successors = []
        for key in queryset:
            try:
                successors.append(keys.rotate(key, overlap=OVERLAP))
            except Conflict as error:
                messages.warning(request, f"{key}: {error.detail}")
        if not successors:
            return None
        return self._shown_once(request, successors, "These take the place of the keys that you selected.")

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        return self._shown_once(request, [(obj, obj.shown_once)], "The key was made.")

    def _shown_once(
        self, request: HttpRequest, shown: list[tuple[APIKey, str]], explanation: str
    ) -> HttpResponse:
        return self.page(
            request, "apikeys/shown_once.html", title="Keys", keys=shown, explanation=explanation
        )

    def save_model(self, request: HttpRequest, obj: APIKey, form: "ModelForm[APIKey]", change: bool) -> None:
        if not change:
            return  # its form has made it
        # Only what the form changed: a whole row could undo a revocation that came in between.
        obj.save(update_fields=form.changed_data)
        transaction.on_commit(lambda: copies.forget(obj.key_hash))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a revoked key stays, so that its usage keeps its name


@admin.register(Usage)
class UsageAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "key", "user", "method", "endpoint", "status", "milliseconds",
                    "from_cache", "prompt_tokens", "completion_tokens", "cost_usd"]  # fmt: skip
    list_filter = ["tenant", "status", "from_cache", "endpoint"]
    list_select_related = ["tenant", "key", "user"]
