"""Making a key in the admin."""

from typing import Any

from django import forms
from django.apps import apps
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from apikeys import keys
from apikeys.models import APIKey
from ragsite.lib.admins import NewRowForm


class NewKeyForm(NewRowForm):
    scopes = forms.MultipleChoiceField(
        choices=APIKey.Scope.choices,
        initial=[APIKey.Scope.QUERY],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    collections = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Names of the collections that it may read, separated by commas. Empty: every one.",
    )

    class Meta:
        model = APIKey
        fields = ("name", "tenant", "owner", "scopes", "networks", "rate_limit", "burst", "monthly_budget_usd",
                  "expires_at")  # fmt: skip

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        tenant, owner = cleaned.get("tenant"), cleaned.get("owner")
        if tenant is not None and owner is not None and owner.tenant_id != tenant.pk:
            raise ValidationError({"owner": "The owner is a person of the key's tenant."})
        if tenant is not None:
            cleaned["collections"] = self._collections(tenant, cleaned.get("collections", ""))
        return cleaned

    def save(self, commit: bool = True) -> APIKey:
        wanted = dict(self.cleaned_data)
        key, raw = keys.mint(collection_ids=wanted.pop("collections"), **wanted)
        key.shown_once = raw  # type: ignore[attr-defined]  # for the answer alone
        return key

    def _collections(self, tenant: Any, names: str) -> list[Any] | None:
        wanted = {name.strip() for name in names.split(",") if name.strip()}
        if not wanted:
            return None
        # By its name, since the app that it belongs to stands above this one.
        collections = apps.get_model("documents", "Collection").objects.for_tenant(tenant)
        found = dict(collections.filter(name__in=wanted).values_list("name", "pk"))
        if unknown := sorted(wanted - found.keys()):
            raise ValidationError({"collections": f"The tenant has no collection {', '.join(unknown)}."})
        return list(found.values())
