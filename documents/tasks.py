"""What the workers do for documents."""

from uuid import UUID

import structlog
from celery import shared_task

from documents import indexing, ingest, states, vector_index
from documents.models import CorpusStatistics, EmbeddingSpace
from ragsite.lib import row_security
from ragsite.lib.hints import Hint
from webhooks import outbox
from webhooks import tasks as webhook_tasks

logger = structlog.get_logger(__name__)


@shared_task(base=Hint)
def process(document_id: str) -> None:
    """Processes a document, unless another worker has it or it is done."""
    with row_security.across():
        document = states.claim(UUID(document_id))
    if document is None:
        return
    try:
        with row_security.within(document.tenant_id):
            ingest.process(document)
    except states.Superseded:
        logger.info("another attempt took the document over, or it was deleted", document=document_id)
    with row_security.within(document.tenant_id):
        told = outbox.is_due(document.tenant_id)
    if told:
        webhook_tasks.deliver.delay()


@shared_task(base=Hint)
def sweep() -> None:
    """Finds what was lost: a message that never arrived, a worker that went silent."""
    with row_security.across():
        states.give_up()
        overdue = states.overdue()
    for document_id in overdue:
        process.delay(str(document_id))


@shared_task(base=Hint)
def tend_corpora() -> None:
    """Makes BM25 weights anew where a corpus has changed so much that they are off, and missing vector indexes."""
    with row_security.across():
        corpora = list(CorpusStatistics.objects.across_tenants())
    for statistics in filter(indexing.drifted, corpora):
        with row_security.within(statistics.tenant_id):
            indexing.reweigh(statistics.tenant_id)
    for space in EmbeddingSpace.objects.exclude(state=EmbeddingSpace.State.RETIRED):
        vector_index.tend(space)
