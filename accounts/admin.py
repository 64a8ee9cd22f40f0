"""Tenants and users, for operators."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet, Sum
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.forms import AdminPasswordChangeForm, AuthenticationForm, UserChangeForm, UserCreationForm

from accounts import corpus, standing
from accounts.forms import CountsAttempts
from accounts.models import Tenant, User
from ragsite.lib import months
from ragsite.lib.admins import AuditedAdmin
from ragsite.lib.identifiers import floor

admin.site.unregister(Group)  # roles, not groups, decide who may do what


class AdminSignIn(CountsAttempts, AuthenticationForm):
    pass


admin.site.login_form = AdminSignIn


@admin.register(Tenant)
class TenantAdmin(AuditedAdmin):
    list_display = ["name", "slug", "active", "users_count", "top_k", "retention_days", "monthly_budget_usd"]
    list_filter = ["active"]
    search_fields = ["name", "slug"]
    ordering = ["name"]  # its counts of users undo the model's own, and completions come in pages
    prepopulated_fields = {"slug": ["name"]}
    readonly_fields = ["id", "corpus_version", "spent_this_month", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return super().get_queryset(request).annotate(users_count=Count("users"))

    @admin.display(description="users", ordering="users_count")
    def users_count(self, tenant: Tenant) -> int:
        return tenant.users_count  # type: ignore[attr-defined]  # annotated above

    @admin.display(description="spent this month")
    def spent_this_month(self, tenant: Tenant) -> str:
        """On a tenant's own page alone: over a list of them it would add up every record of the month."""
        # Through the relation, since the app of the records stands above this one.
        month = tenant.usage_set.filter(pk__gte=floor(months.begin(timezone.now())))
        return f"{month.aggregate(total=Sum('cost_usd'))['total'] or 0:.6f} USD"

    def save_model(self, request: HttpRequest, obj: Tenant, form: "ModelForm[Tenant]", change: bool) -> None:
        # Only what the form changed: a whole row would put back the corpus version that it was read with.
        obj.save(update_fields=form.changed_data if change else None)
        standing.changed(obj)
        corpus.bump(obj.pk)  # its settings decide its answers

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it takes files, vectors and history with it: making it inactive is what a page can do


@admin.register(User)
class UserAdmin(AuditedAdmin, DjangoUserAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "tenant", "standing", "is_staff", "is_active", "last_login"]
    list_filter = ["role", "is_staff", "is_active", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["username", "email", "tenant__name"]
    autocomplete_fields = ["tenant"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Person", {"fields": ["first_name", "last_name", "email"]}),
        ("Belongs to", {"fields": ["tenant", "role"]}),
        ("May", {"fields": ["is_active", "is_staff", "is_superuser"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["username", "tenant", "role", "password1", "password2"]}),
    ]
    readonly_fields = ["last_login", "date_joined"]
    filter_horizontal = []

    @admin.display(description="role", ordering="role")
    def standing(self, user: User) -> str:
        return user.get_role_display() if user.tenant_id else "operator"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # The keys and documents of a person are the tenant's, and point at rows of it alone.
        moves = obj is None or obj.tenant_id is None
        return ["last_login", "date_joined", *([] if moves else ["tenant"])]
