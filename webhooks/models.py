"""Where tenants are told of events, and each telling."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.tenancy import TenantOwned
from ragsite.lib.identifiers import uuid7
from ragsite.lib.outbound import MAX_URL


class Event(models.TextChoices):
    """What is told; the types of messages. Each stands for one schema of `data`."""

    DOCUMENT_READY = "document.ready", "a document is ready"
    DOCUMENT_FAILED = "document.failed", "a document failed"


TEST = "webhook.test"  # sent when somebody asks for it, and to no one else


class Endpoint(TenantOwned):
    """An address of a tenant's own that is told of events, and the secret that the messages are signed with.

    The secrets are sealed (`ragsite.lib.crypto`). The previous one signs besides until `previous_until`.
    """

    class Disabled(models.TextChoices):
        BY_HAND = "by_hand", "by hand"
        GONE = "gone", "it answered 410 Gone"
        FAILING = "failing", "it failed for days"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    url = models.CharField("address", max_length=MAX_URL)
    description = models.CharField(max_length=200, blank=True)
    events = ArrayField(models.CharField(max_length=30, choices=Event))
    secret = models.TextField(editable=False)
    previous_secret = models.TextField(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)
    enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=10, choices=Disabled, blank=True, editable=False)
    disabled_at = models.DateTimeField(null=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = "webhook"
        constraints = [
            # What rows may point at; GET /api/webhooks reads it from its end.
            models.UniqueConstraint(name="endpoint_of_tenant", fields=["tenant", "id"]),
            models.CheckConstraint(
                name="endpoint_disabled_says_why",
                condition=Q(enabled=True, disabled_because="", disabled_at=None)
                | Q(enabled=False, disabled_at__isnull=False) & ~Q(disabled_because=""),
            ),
        ]

    def __str__(self) -> str:
        return self.description or f"webhook {self.pk}"


class Delivery(TenantOwned):
    """A message to an endpoint: the outbox's row before it is sent, the record of its tries after.

    The document's id is no foreign key: that it was ready stays true when it is gone.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(
        Endpoint, db_constraint=False, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    message = models.UUIDField(help_text="The event's: one for all endpoints, and the same at every try.")
    event = models.CharField(max_length=30)
    document_id = models.UUIDField(null=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # When it may be taken. Whoever takes it moves it on by a lease, so that one who dies with it holds nothing up.
    due_at = models.DateTimeField(db_default=Now())
    claim = models.UUIDField(null=True, editable=False)
    tries: Any = models.JSONField(default=list)
    error_code = models.CharField(max_length=30, blank=True)
    finished_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(name="delivery_of_tenant", fields=["tenant", "id"]),
            models.CheckConstraint(
                name="delivery_finished_has_a_time",
                condition=Q(status="pending", finished_at=None)
                | ~Q(status="pending") & Q(finished_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="delivery_of_endpoint", fields=["endpoint", "-id"]),  # GET …/deliveries
            models.Index(  # what is due
                name="delivery_due", fields=["endpoint", "due_at"], condition=Q(status="pending")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"
