"""Sets of questions with known answers, runs of them, and results. Import them from `queries.models`."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.tenancy import TenantOwned
from ragsite.lib.identifiers import uuid7


class EvaluationSet(TenantOwned):
    """Questions that a tenant measures its answers by."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Other rows refer to it; GET /api/evaluations/sets reads its index from the end.
            models.UniqueConstraint(name="evaluationset_of_tenant", fields=["tenant", "id"]),
            models.UniqueConstraint(name="evaluationset_name_once_a_tenant", fields=["tenant", "name"]),
        ]

    def __str__(self) -> str:
        return self.name


class EvaluationQuestion(TenantOwned):
    """A question and what answers it: `expected`, a list of {"document_id" or null, "filename", "page" or null}.

    A document that a person named by its file name is stored by that name: its next version will be another row.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    set = models.ForeignKey(
        EvaluationSet,
        db_constraint=False,
        on_delete=models.CASCADE,
        related_name="questions",
        db_index=False,
    )
    ordinal = models.PositiveIntegerField()
    question = models.TextField()
    expected = models.JSONField(default=list)
    answer = models.TextField(blank=True, help_text="Words that the answer has to have.")

    class Meta:
        ordering = ["set", "ordinal"]
        constraints = [
            models.UniqueConstraint(name="evaluationquestion_of_tenant", fields=["tenant", "id"]),
            models.UniqueConstraint(name="evaluationquestion_once", fields=["set", "ordinal"]),
        ]

    def __str__(self) -> str:
        return self.question[:80]


class EvaluationRun(TenantOwned):
    """A set asked once, with the tenant's settings or some others. The row holds how far it has come.

    The settings that are tried out (`queries.trials.Trial`) have columns; `settings` are all that it was asked with,
    and `summary` has the means at its end.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    set = models.ForeignKey(
        EvaluationSet, db_constraint=False, on_delete=models.CASCADE, related_name="runs", db_index=False
    )
    name = models.CharField(max_length=100, blank=True)
    answers = models.BooleanField(
        default=True, help_text="Answers too, which may cost money; else retrieval alone."
    )
    prompt = models.TextField(null=True, blank=True, help_text="Empty: the tenant's.")
    top_k = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="Empty: the tenant's.",
    )
    distance_threshold = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text="Empty: the tenant's.",
    )
    model = models.CharField(max_length=200, blank=True, help_text="Empty: the site's.")
    space = models.ForeignKey(
        "documents.EmbeddingSpace",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Empty: the one that serves.",
    )

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    settings = models.JSONField(default=dict, editable=False)
    summary = models.JSONField(default=dict, editable=False)
    done = models.PositiveIntegerField(default=0, editable=False)
    total = models.PositiveIntegerField(default=0, editable=False)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0, editable=False)
    error_code = models.CharField(max_length=40, blank=True, editable=False)
    error_detail = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    # Who works on it: `claim` names one step of one worker, and rejects writes of all earlier ones.
    claim = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Without a result since."
    )
    stepped_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="evaluationrun_of_tenant", fields=["tenant", "id"]),
            models.CheckConstraint(
                name="evaluationrun_failed_says_why", condition=~Q(status="failed") | ~Q(error_code="")
            ),
        ]
        indexes = [
            models.Index(  # what workers claim
                name="evaluationrun_claimable",
                fields=["stepped_at"],
                condition=Q(status__in=["queued", "running"]),
            ),
            models.Index(name="evaluationrun_of_set", fields=["set", "-id"]),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.created_at:%Y-%m-%d %H:%M}"


class EvaluationResult(TenantOwned):
    """How one question was answered in a run.

    `ranking`: the first documents found, each {"document_id", "filename", "page", "score", "expected"}.
    `citations`: the sources that the answer cites, each {"n", "document_id", "filename", "expected"}.
    `scores`: by measure (`queries.evaluations.scoring`).
    """

    class Status(models.TextChoices):
        RETRIEVED = "retrieved"
        ANSWERED = "answered"
        NOT_FOUND = "not_found", "not in the documents"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(
        EvaluationRun,
        db_constraint=False,
        on_delete=models.CASCADE,
        related_name="results",
        db_index=False,
    )
    question = models.ForeignKey(
        EvaluationQuestion, db_constraint=False, on_delete=models.CASCADE, related_name="+"
    )
    status = models.CharField(max_length=10, choices=Status)
    error_code = models.CharField(max_length=40, blank=True)
    ranking = models.JSONField(default=list)
    scores = models.JSONField(default=dict)
    answer = models.TextField(blank=True)
    citations = models.JSONField(default=list)
    milliseconds = models.FloatField()
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(name="evaluationresult_of_tenant", fields=["tenant", "id"]),
            models.UniqueConstraint(name="evaluationresult_once", fields=["run", "question"]),
        ]

    def __str__(self) -> str:
        return f"{self.question_id}: {self.status}"
