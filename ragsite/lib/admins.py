"""Bases of the apps' admins: of all of them, of rows that nobody edits, of rows that domain functions make, and of rows
whose changes are in the audit log."""

from typing import Any

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import CharField, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from unfold.admin import ModelAdmin, TabularInline
from unfold.views import ChangeList

from ragsite.lib import unseen
from ragsite.lib.errors import AppError


class _List(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (DataError, ValueError) as error:  # a NUL, half a regular expression, a word for an IP address
            raise IncorrectLookupParameters(error) from error


class SiteAdmin(ModelAdmin):
    """Refuses odd input where Django would not: what the address of a list asks for, which Django hands to Postgres
    unread, and names with hidden characters, as the API refuses them."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, forms.CharField) and isinstance(db_field, CharField):
            field.validators.append(unseen.check_name)
        return field

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _List

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, search_term.replace("\0", ""))

    def page(self, request: HttpRequest, template: str, **shown: Any) -> HttpResponse:
        """A page besides Django's own. As every page of the admin, no browser keeps it."""
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **shown})


class ReadOnlyAdmin(SiteAdmin):
    show_full_result_count = False  # counting millions of rows takes longer than showing a page of them

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):
    """Rows that belong to another, on its page."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewRowForm(forms.ModelForm):
    """A form whose `save` has a domain function make the row."""

    refusal: AppError | None = None  # what that function said

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.refusal:
            raise ValidationError([self.refusal.detail, *(field.detail for field in self.refusal.fields)])
        return cleaned


class AddsByForm(SiteAdmin):
    """Rows that `new_form` makes, whatever becomes of them afterwards."""

    new_form: type[NewRowForm]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Shows the form again with the reason where the domain function refuses: Django expects none while saving."""
        try:
            return super().add_view(request, form_url, extra_context)
        except AppError as error:  # what was done is rolled back by then
            request.refusal = error  # type: ignore[attr-defined]  # for `get_form`
            return super().add_view(request, form_url, extra_context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return ModelAdmin.has_add_permission(self, request)  # also of rows that are else read only

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj:
            return super().get_form(request, obj, change, **kwargs)
        form = super().get_form(request, obj, change, **{**kwargs, "form": self.new_form})
        form.refusal = getattr(request, "refusal", None)  # the class is this request's own
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else list(self.new_form.base_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_readonly_fields(request, obj) if obj else []

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return super().save_form(request, form, change) if change else form.save()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """What it has besides its row was made with it."""


class AuditedAdmin(SiteAdmin):
    """The button “History” of a row leads to what the audit log has of it, by whichever way it was changed."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        log = reverse("admin:auditlog_logentry_changelist")
        return redirect(f"{log}?{urlencode({'object_pk': unquote(object_id)})}")
