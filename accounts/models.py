"""Tenants, and the people who sign in."""

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ragsite.lib import audit
from ragsite.lib.identifiers import uuid7


class Tenant(models.Model):
    """An organisation: the wall between what is whose."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60, unique=True)
    active = models.BooleanField(
        default=True, help_text="An inactive tenant's keys and users are refused; its data stays."
    )
    corpus_version = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="Raised by every change of the corpus; part of the answer cache's key.",
    )
    top_k = models.PositiveSmallIntegerField(
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="How many sources an answer is made from when the request does not say.",
    )
    distance_threshold = models.FloatField(
        default=0.75,
        validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text="When every chunk is further than this cosine distance, and no words match, the answer is “not found”.",
    )
    prompt = models.TextField(blank=True, help_text="Added to the instructions that a model is given.")
    quotes_without_model = models.BooleanField(
        default=False,
        db_default=False,
        help_text="When no model answers, quote from the documents instead of failing. Such an answer says so.",
    )
    retention_days = models.PositiveIntegerField(
        default=365, help_text="How long history and usage records are kept."
    )
    monthly_budget_usd = models.DecimalField(
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="What its keys' and people's answers may cost in a calendar month (UTC). Empty: no limit.",
    )
    cache_seconds = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="How long an answer is kept in the cache, within what the site allows. Empty: as the site is"
        " set. 0: none is.",
    )
    cache_bytes = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="How much room its cached answers have, within what the site allows; the ones not used for"
        " longest make way. Empty: as the site is set. 0: none is kept.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(name="tenant_top_k_in_range", condition=Q(top_k__range=(1, 50))),
            models.CheckConstraint(
                name="tenant_budget_is_not_negative", condition=Q(monthly_budget_usd__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_additional_data(self) -> dict[str, str]:
        """See `TenantOwned`."""
        return {"tenant": str(self.pk)}


class User(AbstractUser):
    """Someone who signs in. Without a tenant: an operator, who runs the site in the admin."""

    class Role(models.TextChoices):
        BUSINESS = "business", "business user"
        USER = "user", "user"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="users",
        help_text="Empty: an operator.",
    )
    role = models.CharField(max_length=8, choices=Role, default=Role.USER)

    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(name="user_of_tenant", fields=["tenant", "id"]),  # what rows may point at
            models.CheckConstraint(
                name="user_staff_have_no_tenant",
                condition=Q(is_staff=False) | Q(tenant=None),
                violation_error_message="Staff run the site for every tenant and belong to none.",
            ),
        ]

    def get_additional_data(self) -> dict[str, str]:
        """See `TenantOwned`. An operator's entries belong to no tenant."""
        return {"tenant": str(self.tenant_id)} if self.tenant_id else {}

    def check_password(self, raw_password: str | None) -> bool:
        # It may store the same password under a better hash, which is no change that a person made.
        with audit.unlogged():
            return super().check_password(raw_password)

    @property
    def is_operator(self) -> bool:
        return self.is_staff and self.tenant_id is None
