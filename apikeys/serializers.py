"""The bodies of keys and usage."""

from ipaddress import ip_network
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apikeys import budgets
from apikeys.models import APIKey
from ragsite.lib.fields import NameText, StrictInteger, StrictSerializer, StrictText, StrictUUID


class KeyIn(StrictSerializer):
    name = NameText(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=APIKey.Scope.choices),
        default=["query"],
        allow_empty=False,
        max_length=2,
    )
    collections = serializers.ListField(
        child=StrictUUID(),
        required=False,
        allow_null=True,
        max_length=100,
        help_text="Ids of the collections it may read; left out: all of them.",
    )
    networks = serializers.ListField(
        child=StrictText(max_length=43), default=list, max_length=50, help_text="CIDR; empty: from anywhere."
    )
    rate_limit = StrictInteger(min_value=1, max_value=1_000_000, default=60, help_text="Requests a minute.")
    burst = StrictInteger(min_value=1, max_value=1_000_000, default=20)
    monthly_budget_usd = serializers.DecimalField(
        max_digits=12, decimal_places=4, min_value=0, required=False, allow_null=True
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True)

    def validate_networks(self, value: list[str]) -> list[str]:
        try:
            return [str(ip_network(network, strict=False)) for network in value]
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="network") from error

    def validate_expires_at(self, value: Any) -> Any:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("It lies in the past.", code="past")
        return value


class RotateIn(StrictSerializer):
    overlap_seconds = StrictInteger(min_value=0, max_value=30 * 86_400, default=0)


class KeyOut(serializers.ModelSerializer[APIKey]):
    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)
    collections = serializers.SerializerMethodField(help_text="Null: all of them.")
    rotated_from = serializers.UUIDField(source="rotated_from_id", allow_null=True)
    usage_count = serializers.SerializerMethodField()
    last_used_at = serializers.SerializerMethodField()

    class Meta:
        model = APIKey
        fields = ["id", "name", "key_prefix", "owner", "scopes", "collections", "networks", "rate_limit", "burst",
                  "monthly_budget_usd", "expires_at", "revoked_at", "last_used_at", "usage_count", "rotated_from",
                  "created_at"]  # fmt: skip

    # A key that was just made is not counted anew (`apikeys.tally`), nor was it used.
    def get_usage_count(self, key: APIKey) -> int:
        return int(getattr(key, "uses", key.usage_count))

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_last_used_at(self, key: APIKey) -> str | None:
        moment = getattr(key, "used_at", key.last_used_at)
        return None if moment is None else str(serializers.DateTimeField().to_representation(moment))

    def get_collections(self, key: APIKey) -> list[str] | None:
        return [str(collection.pk) for collection in key.collections.all()] if key.restricted else None


class BudgetOut(serializers.Serializer[Any]):
    monthly_usd = serializers.FloatField(allow_null=True, help_text="Null: no limit.")
    spent_usd = serializers.FloatField(help_text="In this calendar month (UTC); complete within two seconds.")
    remaining_usd = serializers.FloatField(allow_null=True)
    renews_at = serializers.DateTimeField()


class KeyDetailOut(KeyOut):
    budget = serializers.SerializerMethodField(
        help_text="With the keys that it was rotated from and into, whose costs it shares."
    )

    class Meta(KeyOut.Meta):
        fields = [*KeyOut.Meta.fields, "budget"]

    @extend_schema_field(BudgetOut)
    def get_budget(self, key: APIKey) -> dict[str, Any]:
        return dict(BudgetOut(budgets.statement(budgets.of_key(key))).data)


class NewKeyOut(KeyOut):
    key = serializers.SerializerMethodField(help_text="The key itself, this once.")

    class Meta(KeyOut.Meta):
        fields = ["id", "key", *KeyOut.Meta.fields[1:]]

    def get_key(self, key: APIKey) -> str:
        raw: str = self.context["raw"]
        return raw


class TotalsOut(serializers.Serializer[Any]):
    requests = serializers.IntegerField()
    success = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]  # DRF takes fields out of the class
    limited = serializers.IntegerField(help_text="Refused with 429.")
    from_cache = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_usd = serializers.FloatField()
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)


class DayOut(TotalsOut):
    date = serializers.DateField()


class UsageOut(TotalsOut):
    days = DayOut(many=True)


class EndpointOut(TotalsOut):
    endpoint = serializers.CharField()


class KeyTotalsOut(TotalsOut):
    key_id = serializers.UUIDField(allow_null=True, help_text="Null: people, not keys.")


class TenantUsageOut(UsageOut):
    budget = BudgetOut()
    endpoints = EndpointOut(many=True)
    keys = KeyTotalsOut(many=True)


class SelfOut(KeyDetailOut):
    usage = UsageOut()

    class Meta(KeyDetailOut.Meta):
        fields = [*KeyDetailOut.Meta.fields, "usage"]


class Period(StrictSerializer):
    """The query string: which days are counted, both included."""

    days = serializers.IntegerField(min_value=1, max_value=400, default=30)
    format = serializers.CharField(required=False)
