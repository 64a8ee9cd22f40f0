"""What the workers do for documents."""

from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from celery.contrib.django.task import DjangoTask
from kombu.exceptions import OperationalError

from documents import indexing, ingest, reembedding, retiring, spaces, states, vector_index
from documents.models import CorpusStatistics
from ragsite.lib import redis_client, row_security

logger = structlog.get_logger(__name__)


class Hint(DjangoTask[Any, Any]):
    """A task whose message is only a hint: the row says what is to be done, and the sweeper hints again."""

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        try:
            # Asked first, because the broker's own client waits for seconds where this one knows in a tenth of one.
            redis_client.guarded(lambda client: client.ping())
            return super().apply_async(*args, **kwargs)
        except (OperationalError, *redis_client.DOWN) as error:
            logger.warning("the broker could not be told", task=self.name, error=str(error))
            return None


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
    # One that is being built gets its index at its end: a finished one makes every row that is added dear.
    vector_index.tend(spaces.active())


@shared_task(base=Hint)
def tend_spaces() -> None:
    """A few seconds' work on the embedding space that is being built, or on one to be dropped; then again."""
    if any([reembedding.step(), retiring.step()]):
        tend_spaces.delay()
