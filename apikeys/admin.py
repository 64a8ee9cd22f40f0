"""Keys and usage, for operators."""

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from apikeys import budgets, copies, keys, tally
from apikeys.models import APIKey, Usage
from ragsite.lib.readonly import AuditedAdmin, ReadOnlyAdmin


@admin.register(APIKey)
class APIKeyAdmin(AuditedAdmin):
    """Keys are made by business users, who see them once; here they are looked at, limited and ended."""

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
    actions = ["revoke"]
    fields = ["name", "tenant", "owner", "key_prefix", "scopes", "restricted", "networks", "rate_limit", "burst",
              "monthly_budget_usd", "spent_this_month", "expires_at", "revoked_at", "rotated_from", "uses",
              "used_at", "created_at"]  # fmt: skip
    readonly_fields = ["tenant", "owner", "key_prefix", "scopes", "restricted", "spent_this_month", "revoked_at",
                       "rotated_from", "uses", "used_at", "created_at"]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[APIKey]:
        return tally.counted(super().get_queryset(request))

    @admin.display(description="usage count", ordering="uses")
    def uses(self, key: APIKey) -> int:
        return key.uses  # type: ignore[attr-defined]  # annotated above

    @admin.display(description="last used", ordering="used_at")
    def used_at(self, key: APIKey) -> Any:
        return key.used_at  # type: ignore[attr-defined]  # annotated above

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

    def save_model(self, request: HttpRequest, obj: APIKey, form: "ModelForm[APIKey]", change: bool) -> None:
        # Only what the form changed: a whole row could undo a revocation that came in between.
        obj.save(update_fields=form.changed_data)
        transaction.on_commit(lambda: copies.forget(obj.key_hash))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a revoked key stays, so that its usage keeps its name


@admin.register(Usage)
class UsageAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "tenant", "key", "user", "method", "endpoint", "status", "milliseconds",
                    "from_cache", "prompt_tokens", "completion_tokens", "cost_usd"]  # fmt: skip
    list_filter = ["tenant", "status", "from_cache", "endpoint"]
    list_select_related = ["tenant", "key", "user"]
