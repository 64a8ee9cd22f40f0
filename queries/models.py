"""The history: questions with their answers, conversations and feedback."""

from datetime import datetime

from django.db import models
from django.db.models import Value
from django.db.models.functions import Now

from accounts.tenancy import TenantOwned
from queries.evaluations.models import (
    EvaluationQuestion,
    EvaluationResult,
    EvaluationRun,
    EvaluationSet,
)
from ragsite.lib.identifiers import made_at, uuid7


class Conversation(TenantOwned):
    """Questions that are understood by what was said before them. Its messages are the queries that refer to it.

    Its id is that of its first question. A key shares its conversations with the keys that it was rotated from or into.
    Once the key or user is deleted, business users can still see it.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    key = models.ForeignKey(
        "apikeys.APIKey", on_delete=models.SET_NULL, db_constraint=False, db_index=False, null=True
    )
    user = models.ForeignKey(
        "accounts.User", on_delete=models.SET_NULL, db_constraint=False, db_index=False, null=True
    )
    title = models.CharField(max_length=100)
    latest = models.UUIDField(editable=False, help_text="Its latest question, which tells when it was.")

    class Meta:
        ordering = ["-latest"]
        constraints = [
            models.CheckConstraint(
                name="conversation_of_one", condition=models.Q(key=None) | models.Q(user=None)
            )
        ]
        indexes = [
            models.Index(
                name="conversation_of_tenant", fields=["tenant", "-latest"]
            ),  # a business user's list
            models.Index(name="conversation_of_key", fields=["key", "-latest"]),  # a key's
            models.Index(name="conversation_of_user", fields=["user", "-latest"]),  # a user's
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def created_at(self) -> datetime:
        return made_at(self.pk)

    @property
    def updated_at(self) -> datetime:
        """When the latest question in it was asked."""
        return made_at(self.latest)


class Query(TenantOwned):
    """A question and its answer. Its id is its request's id, so that it is never written twice.

    Partitioned by month on the id. There are no foreign keys in the database, since partitions are dropped.
    """

    class Route(models.TextChoices):
        DOCUMENTS = "documents"
        DATABASE = "database"

    class Status(models.TextChoices):
        ANSWERED = "answered"
        NOT_FOUND = "not_found", "not in the documents"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        "accounts.Tenant", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    key = models.ForeignKey(
        "apikeys.APIKey", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True
    )
    user = models.ForeignKey(
        "accounts.User", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True
    )
    # Without a constraint in the database, like the others: `conversations.delete` takes the messages out.
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.SET_NULL,
        related_name="messages",
        db_constraint=False,
        db_index=False,
        null=True,
    )
    question = models.TextField()
    standalone_question = models.TextField(null=True, help_text="The follow-up as it was looked for.")
    route = models.CharField(max_length=10, choices=Route, default=Route.DOCUMENTS)
    answer = models.TextField(blank=True)
    sources = models.JSONField(default=list)
    unsupported = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    sql = models.TextField(null=True)
    generator = models.CharField(max_length=20, blank=True)
    model = models.CharField(max_length=200, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    attempts = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    timings_ms = models.JSONField(default=dict)
    response_time_ms = models.FloatField(default=0)
    from_cache = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=Status)
    error_code = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField()
    # How the answer came about (`queries.traces.tracing`); for an answer from the cache, the id of its origin.
    trace = models.JSONField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "queries"
        # Feedback refers to it; a business user's GET /api/history reads its index from the end.
        constraints = [models.UniqueConstraint(name="query_of_tenant", fields=["tenant", "id"])]
        indexes = [
            models.Index(name="query_of_key", fields=["key", "-id"]),  # a key's
            models.Index(name="query_of_user", fields=["user", "-id"]),  # a user's
            models.Index(
                name="query_of_conversation",
                fields=["conversation", "-id"],  # its messages; most questions are in none
                condition=models.Q(conversation__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.question[:80]


class Feedback(TenantOwned):
    """A rating of an answer. A later one, by anyone who can see the query, replaces it."""

    class Rating(models.TextChoices):
        UP = "up"
        DOWN = "down"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    query = models.OneToOneField(
        Query,
        on_delete=models.DO_NOTHING,
        related_name="feedback",
        db_constraint=False,
    )
    rating = models.CharField(max_length=4, choices=Rating)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "feedback"
        indexes = [models.Index(name="feedback_of_tenant", fields=["tenant", "-id"])]  # the admin's list

    def __str__(self) -> str:
        return self.rating


__all__ = [
    "Conversation",
    "EvaluationQuestion",
    "EvaluationResult",
    "EvaluationRun",
    "EvaluationSet",
    "Feedback",
    "Query",
]
