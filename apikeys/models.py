"""API keys, and one usage record for every request that one, or a person who signed in, made."""

from ipaddress import ip_network
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.tenancy import TenantOwned
from ragsite.lib.identifiers import uuid7


class APIKey(TenantOwned):
    """A key of a client program. The key itself is shown once and kept nowhere; what is kept is its SHA-256."""

    class Scope(models.TextChoices):
        QUERY = "query", "ask and search"
        INGEST = "ingest", "upload and manage documents"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        "accounts.User",
        db_constraint=False,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="keys",
    )
    name = models.CharField(max_length=100)
    key_prefix = models.CharField(
        max_length=12, editable=False, help_text="Tells keys apart; unlocks nothing."
    )
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope), default=list)
    # A key that was given collections stays restricted when they are deleted, and then reads nothing.
    restricted = models.BooleanField(default=False, help_text="Reads only the collections listed.")
    collections: Any = models.ManyToManyField(
        "documents.Collection", through="apikeys.KeyCollection", blank=True
    )
    networks = ArrayField(
        models.CharField(max_length=43), default=list, blank=True, help_text="CIDR; empty: from anywhere."
    )
    rate_limit = models.PositiveIntegerField(default=60, help_text="Requests a minute, in the long run.")
    burst = models.PositiveIntegerField(default=20, help_text="Requests at once, after a pause.")
    monthly_budget_usd = models.DecimalField(
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="What its answers may cost in a calendar month (UTC), together with those of the keys that it was"
        " rotated from. Empty: no limit.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    usage_count = models.PositiveBigIntegerField(default=0, editable=False)
    rotated_from = models.OneToOneField(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="rotated_to",
        db_constraint=False,
    )
    # No foreign key: it names a sum of costs, which outlives the key.
    line = models.UUIDField(
        null=True,
        editable=False,
        help_text="The first of the keys that were rotated into this one, which share a budget. Empty: itself.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"
        constraints = [
            # What rows may point at; GET /api/keys reads it from its end.
            models.UniqueConstraint(name="apikey_of_tenant", fields=["tenant", "id"]),
            models.CheckConstraint(
                name="apikey_rate_is_positive", condition=Q(rate_limit__gt=0, burst__gt=0)
            ),
            models.CheckConstraint(
                name="apikey_budget_is_not_negative", condition=Q(monthly_budget_usd__gte=0)
            ),
            models.CheckConstraint(
                name="apikey_hash_is_sha256", condition=Q(key_hash__regex="^[0-9a-f]{64}$")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.key_prefix}…)"

    def clean(self) -> None:
        """What the admin's form is held to; a network that cannot be read would refuse every request."""
        for network in self.networks:
            try:
                ip_network(network, strict=False)
            except ValueError as error:
                raise ValidationError({"networks": str(error)}) from error

    @property
    def first_of_line(self) -> UUID:
        return self.line or self.pk

    @property
    def is_usable(self) -> bool:
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired


class KeyCollection(TenantOwned):
    """A collection that a restricted key may read."""

    key = models.ForeignKey(APIKey, db_constraint=False, on_delete=models.CASCADE)
    collection: Any = models.ForeignKey("documents.Collection", db_constraint=False, on_delete=models.CASCADE)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="keycollection_once", fields=["tenant", "key", "collection"])
        ]

    def __str__(self) -> str:
        return f"{self.key} reads {self.collection}"


class Tally(TenantOwned):
    """Uses of a key that are not in its `usage_count` yet; see `apikeys.tally`. No foreign keys, as `Usage`."""

    tenant = models.ForeignKey(
        "accounts.Tenant", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    key = models.ForeignKey(APIKey, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    requests = models.PositiveIntegerField()
    used_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "tally"
        indexes = [models.Index(name="tally_of_key", fields=["key"])]  # what a reader adds


class Usage(TenantOwned):
    """One authenticated request. Its id is the request's, so that writing it twice is writing it once.

    Partitioned by month on the id. Written in batches, hence no foreign keys in the database: one
    tenant deleted in the meantime must not hold up everybody's batch.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey(
        "accounts.Tenant", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    key = models.ForeignKey(
        APIKey, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True
    )
    user = models.ForeignKey(
        "accounts.User", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True
    )
    created_at = models.DateTimeField()
    endpoint = models.CharField(max_length=100)
    method = models.CharField(max_length=10)
    status = models.PositiveSmallIntegerField()
    success = models.BooleanField()
    milliseconds = models.FloatField()
    from_cache = models.BooleanField(default=False)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "usage"
        indexes = [
            models.Index(name="usage_of_tenant", fields=["tenant", "-id"]),  # GET /api/usage
            models.Index(name="usage_of_key", fields=["key", "-id"]),  # GET /api/keys/{id}/usage
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.endpoint} {self.status}"


class IdempotentRequest(TenantOwned):
    """A request that its client may send again, and the answer that it then gets; see `apikeys.idempotency`."""

    class State(models.TextChoices):
        RUNNING = "running"
        ANSWERED = "answered"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # The first key of a line of rotated keys, or a person. Either, hence no foreign key; the row lives for a day.
    client = models.UUIDField()
    endpoint = models.CharField(max_length=100)
    key_digest = models.CharField(max_length=64)
    body_digest = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    claim = models.UUIDField(help_text="The request that runs it.")
    leased_until = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    content_type = models.CharField(max_length=100, blank=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="idempotentrequest_once", fields=["tenant", "client", "endpoint", "key_digest"]
            ),
            models.CheckConstraint(
                name="idempotentrequest_answered_has_an_answer",
                condition=Q(state="running", status=None, body=None)
                | Q(state="answered", status__isnull=False, body__isnull=False),
            ),
        ]
        indexes = [models.Index(name="idempotentrequest_expiry", fields=["expires_at"])]  # what is forgotten
