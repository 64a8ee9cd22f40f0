"""Documents, the chunks they are searched by, and the vectors of the chunks."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now
from pgvector.django import HalfVectorField, SparseVectorField

from accounts.tenancy import TenantOwned, TenantQuerySet
from documents.embedding_space import EmbeddingSpace as EmbeddingSpace  # noqa: PLC0414  imported from here
from ragsite.lib.identifiers import uuid7


class Collection(TenantOwned):
    """A named part of a tenant's corpus; a key or a question can be held to some of them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            # What rows may point at.
            models.UniqueConstraint(name="collection_of_tenant", fields=["tenant", "id"]),
            models.UniqueConstraint(name="collection_name_once_a_tenant", fields=["tenant", "name"]),
        ]

    def __str__(self) -> str:
        return self.name


class Document(TenantOwned):
    """An uploaded file and where its processing stands. The row is the truth; the broker only hints at it.

    `timings` are milliseconds by stage, and of `waiting`, the time until its last attempt began.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        PROCESSING = "processing"
        READY = "ready"
        FAILED = "failed"

    class Stage(models.TextChoices):
        PARSING = "parsing"
        CHUNKING = "chunking"
        EMBEDDING = "embedding"
        STORING = "storing"

    class Queue(models.TextChoices):
        """Who works on it: `low` has workers of its own for what takes long, so that nobody waits behind it."""

        DEFAULT = "default"
        LOW = "low"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    collection = models.ForeignKey(
        Collection, db_constraint=False, on_delete=models.RESTRICT, related_name="documents"
    )
    title = models.CharField(max_length=300)
    filename = models.CharField(max_length=255)
    media_type = models.CharField(max_length=100)
    bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    file = models.FileField(max_length=200, editable=False)
    metadata = models.JSONField(default=dict, blank=True)
    uploaded_by = models.ForeignKey(
        "accounts.User", db_constraint=False, on_delete=models.SET_NULL, null=True, blank=True
    )

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    stage = models.CharField(max_length=10, choices=Stage, blank=True)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.TextField(blank=True)
    pages = models.PositiveIntegerField(null=True, blank=True)
    unread_pages = ArrayField(
        models.PositiveIntegerField(),
        default=list,
        db_default=Value([], ArrayField(models.PositiveIntegerField())),
        blank=True,
        help_text="Pages that show text which nobody could read: scanned ones, without text recognition.",
    )
    ocr_pages = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How many pages were read by text recognition."
    )
    chunks = models.PositiveIntegerField(default=0)

    # Who works on it now: `claim` names one attempt, and fences off every later write of an older one.
    queue = models.CharField(max_length=10, choices=Queue, default=Queue.DEFAULT, db_default=Queue.DEFAULT)
    claim = models.UUIDField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, editable=False)
    # Queued, it is free from then on: at once when it is uploaded, later when it was given back.
    not_before = models.DateTimeField(db_column="hinted_at", db_default=Now(), editable=False)
    refused_since = models.DateTimeField(null=True, editable=False)  # by a model that could not be had
    timings = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ready_at = models.DateTimeField(null=True, editable=False)
    replaces_before = models.DateTimeField(
        null=True,
        editable=False,
        help_text="Once ready, it takes the place of what came under its name before this moment.",
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            # What rows may point at; GET /api/documents reads it from its end.
            models.UniqueConstraint(name="document_of_tenant", fields=["tenant", "id"]),
            models.UniqueConstraint(
                name="document_once_a_collection", fields=["tenant", "collection", "sha256"]
            ),
            models.CheckConstraint(
                name="document_failed_says_why",
                condition=~Q(status="failed") | ~Q(error_code=""),
            ),
            models.CheckConstraint(
                name="document_processing_is_leased",
                condition=Q(status="processing", claim__isnull=False, leased_until__isnull=False)
                | ~Q(status="processing") & Q(claim=None, leased_until=None),
            ),
        ]
        indexes = [
            models.Index(  # what workers claim, tenant by tenant
                name="document_claimable",
                fields=["queue", "tenant", "id"],
                condition=Q(status__in=["queued", "processing"]),
            ),
            models.Index(name="document_versions", fields=["collection", "filename"]),  # of one name
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def replaces(self) -> bool:
        """Whether it was uploaded to take the place of the earlier documents of its name."""
        return self.replaces_before is not None


class DocumentText(TenantOwned):
    """A document's text as decoded, in which the spans of chunks and sources count. Apart, since it is large."""

    document = models.OneToOneField(
        Document,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="decoded",
        db_constraint=False,
    )
    text = models.TextField()


class Chunk(TenantOwned):
    """A passage of a document: `text` is `decoded.text[start:end]`.

    `terms` and `weights` are its lexical index: the ids of its terms, and each one's BM25 weight under the same
    ids (see `documents.searching.lexical`). A chunk exists only when its document can be searched.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    document = models.ForeignKey(
        Document, db_constraint=False, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    ordinal = models.PositiveIntegerField()
    text = models.TextField()
    heading = models.TextField(blank=True)
    first_page = models.PositiveIntegerField(null=True)
    last_page = models.PositiveIntegerField(null=True)
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    length = models.PositiveIntegerField(help_text="How many terms it has, repeats counted.")
    terms = ArrayField(models.IntegerField())
    weights: Any = SparseVectorField()

    class Meta:
        constraints = [
            # What rows may point at, and BM25 over a small corpus.
            models.UniqueConstraint(name="chunk_of_tenant", fields=["tenant", "id"]),
            models.UniqueConstraint(name="chunk_once", fields=["document", "ordinal"]),
            models.CheckConstraint(name="chunk_span_is_not_empty", condition=Q(start__lt=F("end"))),
        ]
        indexes = [
            # BM25's candidates in a large one.
            GinIndex(name="chunk_terms", fields=["terms"], opclasses=["array_ops"]),
        ]

    def __str__(self) -> str:
        return f"{self.document_id} #{self.ordinal}"


class Term(TenantOwned):
    """How many of a tenant's chunks contain a term: what its IDF is made of."""

    pk = models.CompositePrimaryKey("tenant_id", "term")
    term = models.IntegerField()
    chunks = models.PositiveIntegerField()


class CorpusStatistics(models.Model):
    """One row a tenant. Its lock orders the transactions that change the tenant's corpus.

    `average_length` is the mean number of terms a chunk that the stored BM25 weights were made with; it follows
    `length / chunks` in steps, since each step rewrites the weights.
    """

    tenant = models.OneToOneField(
        "accounts.Tenant", on_delete=models.CASCADE, primary_key=True, related_name="corpus"
    )
    chunks = models.PositiveIntegerField(default=0)
    length = models.PositiveBigIntegerField(default=0)
    average_length = models.FloatField(default=0)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "corpus statistics"


class ChunkVector(TenantOwned):
    """A chunk's embedding in a space: unit length, half precision, as many dimensions as the space has.

    `document_id` is the chunk's: a search in a part of the corpus asks of thousands of vectors where they belong. It is
    no foreign key, since the chunk's is one: checking it would lock documents after the statistics of their tenant, and
    a removal locks them before.
    """

    pk = models.CompositePrimaryKey("chunk_id", "space_id")
    chunk = models.ForeignKey(
        Chunk, db_constraint=False, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    document_id = models.UUIDField(editable=False)
    space = models.ForeignKey(EmbeddingSpace, on_delete=models.PROTECT, related_name="+", db_index=False)
    vector: Any = HalfVectorField()

    class Meta:
        indexes = [  # exact search, in all of a tenant's documents and in some
            models.Index(name="vector_of_tenant", fields=["tenant", "space"]),
            models.Index(name="vector_of_document", fields=["document_id", "space"]),
        ]
