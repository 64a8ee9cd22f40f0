"""Keeps a corpus's BM25 weights near its average length of a chunk, which every load moves a little."""

from uuid import UUID

from django.db import connection, transaction

from accounts import corpus
from documents import copying, indexing, passages
from documents.models import Chunk, CorpusStatistics

# Stored weights are made with an average chunk length that may be off by this much before they are made anew.
# BM25 feels it little: at 10 % a chunk of average length has its weights off by at most 2 %.
TOLERANCE = 0.1
_BATCH = 1_000


def drifted(statistics: CorpusStatistics) -> bool:
    """Whether the average length that the weights were made with is no longer near the truth."""
    if not statistics.chunks or not statistics.average_length:
        return False
    return abs(statistics.length / statistics.chunks / statistics.average_length - 1) > TOLERANCE


def settle(tenant_id: UUID) -> None:
    """Reweighs a small corpus at once: its first documents are far from its average, and it is the work of a moment."""
    statistics = CorpusStatistics.objects.for_tenant(tenant_id).first()
    if statistics is not None and statistics.chunks <= _BATCH and drifted(statistics):
        reweigh(tenant_id)


def reweigh(tenant_id: UUID) -> None:
    """Makes a tenant's BM25 weights anew with today's average length of a chunk.

    In many short transactions, so that nobody who loads has to wait for more than a batch; the last one takes the
    chunks that came in meanwhile, whose ids are the greatest. A process that dies in between leaves weights of
    both averages, and the old one on record: the next run starts again.
    """
    statistics = CorpusStatistics.objects.for_tenant(tenant_id).get()
    average = statistics.length / max(1, statistics.chunks)
    done = _reweigh_batch(tenant_id, average, after=None)
    while done is not None:
        done = _reweigh_batch(tenant_id, average, after=done)


@transaction.atomic
def _reweigh_batch(tenant_id: UUID, average: float, *, after: UUID | None) -> UUID | None:
    """Weighs the next chunks and returns the last one's id; None once no more are left and the average is on record."""
    statistics = indexing.locked(tenant_id)
    chunks = (
        Chunk.objects.for_tenant(tenant_id)
        .select_related("document")
        .defer("terms", "weights")
        .order_by("id")
    )
    batch = list((chunks if after is None else chunks.filter(pk__gt=after))[:_BATCH])
    rows = (
        (chunk.pk, passages.weights(passages.term_ids(tenant_id, passages.context(chunk)), average))
        for chunk in batch
    )
    staged = copying.stage("weights", {"id": "uuid", "weights": "sparsevec"}, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE documents_chunk SET weights = made.weights"  # noqa: S608  a name from code
            f" FROM {staged} AS made WHERE documents_chunk.id = made.id"
        )
    if len(batch) == _BATCH:
        return batch[-1].pk
    statistics.average_length = average
    statistics.save()
    corpus.changed(tenant_id)
    return None
