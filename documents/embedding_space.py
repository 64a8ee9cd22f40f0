"""An embedding space: the vectors of one model. One of the app's models; import it from `documents.models`."""

from typing import Final

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ragsite.lib.identifiers import uuid7

# Chunks between two commits of its building: what a kill costs, and a slow endpoint answers within its time.
MOST_CHUNKS: Final = 64


class EmbeddingSpace(models.Model):
    """The vectors of one model at one precision. Vectors of different spaces are never compared.

    One space serves, one more may be in the making (`documents.embedding.reembedding`), and one that served before
    keeps its vectors for a while. A row is never deleted: it is the history of what served.
    """

    class State(models.TextChoices):
        BUILDING = "building"
        ACTIVE = "active"
        RETIRED = "retired"  # its vectors are there, until `drops_at` or a little longer
        DROPPED = "dropped"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=200)
    precision = models.CharField(max_length=10)
    dimensions = models.PositiveIntegerField()
    base_url = models.CharField(max_length=300, blank=True, help_text="Empty: EMBEDDING_BASE_URL.")
    state = models.CharField(max_length=10, choices=State, default=State.BUILDING)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    # While it is built: what to do at the end, how far it is, why it waits. Chunks are counted from those that there
    # were at its beginning: an estimate that costs nothing. The cursor is the last chunk that was looked at.
    switches = models.BooleanField(default=True, help_text="It is to serve as soon as it is complete.")
    is_complete = models.BooleanField(default=False)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    cursor_tenant = models.UUIDField(null=True, editable=False)
    cursor_chunk = models.UUIDField(null=True, editable=False)
    batch = models.PositiveSmallIntegerField(
        default=MOST_CHUNKS, db_default=MOST_CHUNKS, help_text="How many chunks its model is given at once."
    )
    problem = models.TextField(blank=True, help_text="Why its building pauses.")
    claim = models.UUIDField(null=True, editable=False)  # names the step that is under way, or is to be next
    leased_until = models.DateTimeField(null=True, editable=False)

    retired_at = models.DateTimeField(null=True, editable=False)
    drops_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                name="space_one_is_active", fields=["state"], condition=Q(state="active")
            ),
            models.UniqueConstraint(
                name="space_one_is_built", fields=["state"], condition=Q(state="building")
            ),
            models.CheckConstraint(
                name="space_retired_ends",
                condition=~Q(state="retired") | Q(retired_at__isnull=False, drops_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        precision = f"{self.precision}, " if self.precision else ""
        return f"{self.provider}:{self.model} ({precision}{self.dimensions})"

    @property
    def percent(self) -> int:
        """How much of it is built, from 0 to 100; 100 only once it is complete."""
        if self.is_complete or self.state != self.State.BUILDING:
            return 100
        return min(99, 100 * self.done // max(1, self.total))
