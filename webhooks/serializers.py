"""The bodies of webhooks and deliveries."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ragsite.lib.fields import NameText, StrictBoolean, StrictInteger, StrictSerializer, StrictText
from ragsite.lib.outbound import MAX_URL
from webhooks.models import Delivery, Endpoint, Event
from webhooks.signing import message_id


class _EventsField(serializers.ListField):
    child = serializers.ChoiceField(choices=Event.choices)


class WebhookIn(StrictSerializer):
    url = StrictText(max_length=MAX_URL, help_text="https://, on a public address.")
    events = _EventsField(default=list(Event.values), allow_empty=False, max_length=len(Event))
    description = NameText(max_length=200, allow_blank=True, default="")


class WebhookChanges(StrictSerializer):
    """Fields that are left out stay as they are."""

    url = StrictText(max_length=MAX_URL, required=False)
    events = _EventsField(required=False, allow_empty=False, max_length=len(Event))
    description = NameText(max_length=200, allow_blank=True, required=False)
    enabled = StrictBoolean(required=False)


class WebhookRotateIn(StrictSerializer):
    overlap_seconds = StrictInteger(
        min_value=0, max_value=7 * 86_400, default=86_400, help_text="How long the old secret signs besides."
    )


class WebhookOut(serializers.ModelSerializer[Endpoint]):
    events = serializers.ListField(child=serializers.ChoiceField(choices=Event.choices))
    disabled_because = serializers.ChoiceField(choices=Endpoint.Disabled.choices, allow_blank=True)

    class Meta:
        model = Endpoint
        fields = ["id", "url", "events", "description", "enabled", "disabled_because", "disabled_at",
                  "failing_since", "previous_until", "created_at"]  # fmt: skip
        extra_kwargs = {
            "failing_since": {"help_text": "When the first of the latest tries failed. Null: the last one went well."},
            "previous_until": {"help_text": "Until when messages are signed with the old secret too."},
        }  # fmt: skip


class NewWebhookOut(WebhookOut):
    secret = serializers.SerializerMethodField(help_text="What messages are signed with, this once.")

    class Meta(WebhookOut.Meta):
        fields = ["id", "secret", *WebhookOut.Meta.fields[1:]]

    def get_secret(self, endpoint: Endpoint) -> str:
        secret: str = self.context["secret"]
        return secret


class TryOut(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="Of the answer; null: there was none.")
    error_code = serializers.CharField()
    milliseconds = serializers.IntegerField()


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    message_id = serializers.SerializerMethodField(help_text="The header webhook-id.")
    document_id = serializers.UUIDField(allow_null=True)
    next_try_at = serializers.SerializerMethodField()
    tries = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields = ["id", "message_id", "event", "document_id", "status", "error_code", "tries", "next_try_at",
                  "created_at", "finished_at"]  # fmt: skip

    def get_message_id(self, delivery: Delivery) -> str:
        return message_id(delivery.message)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_try_at(self, delivery: Delivery) -> str | None:
        if delivery.status != Delivery.Status.PENDING:
            return None
        return str(serializers.DateTimeField().to_representation(delivery.due_at))

    @extend_schema_field(TryOut(many=True))
    def get_tries(self, delivery: Delivery) -> Any:
        return delivery.tries
