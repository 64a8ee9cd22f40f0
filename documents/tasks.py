"""What the workers do for documents.

The messages name no document: each is a hint that there is something to claim, of which one is as good as another.
So one that is lost costs nothing as long as another comes, and one that comes twice finds nothing to do.
"""

from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from celery.contrib.django.task import DjangoTask
from kombu.exceptions import OperationalError
from redis import Redis

from documents import ingest, reweighing, states, vector_index
from documents.models import CorpusStatistics, Document, EmbeddingSpace
from ragsite.lib import redis_client, row_security

logger = structlog.get_logger(__name__)

Queue = Document.Queue

# So many messages that wait are enough for any number of workers: whoever takes one looks for all there is.
ENOUGH_HINTS = 64
SWEEPERS_HINTS = 8  # so many workers are woken at once

_turns: dict[Queue, UUID] = {}  # the tenant whose documents this process took last, in each lane


class Hint(DjangoTask[Any, Any]):
    """A task whose message may be lost: the rows say what is to be done, and beat or the sweeper ask again."""

    lane = "default"

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        try:
            # Asked first, because the broker's own client waits for seconds where this one knows in a tenth of one.
            return super().apply_async(*args, **kwargs) if redis_client.guarded(self._is_wanted) else None
        except (OperationalError, *redis_client.DOWN) as error:
            logger.warning("the broker could not be told", task=self.name, error=str(error))
            return None

    def _is_wanted(self, client: Redis) -> bool:
        return bool(client.ping())


class Claiming(Hint):
    """A hint that there is something to claim in a lane. Where many wait already, one more says nothing new."""

    def _is_wanted(self, client: Redis) -> bool:
        waiting: Any = client.llen(self.lane)
        return int(waiting) < ENOUGH_HINTS


# A worker that dies gives its message back, which is no loop: what ended it is a document's attempt, and those are
# counted. Acknowledged late, since a message that was taken and not yet worked off would wait for the sweeper else.
_CLAIMING: dict[str, Any] = {"base": Claiming, "acks_late": True, "reject_on_worker_lost": True}
# Chores come again by themselves: one that ends its worker must not be the next one's first.
_CHORE: dict[str, Any] = {"base": Hint, "acks_late": True, "reject_on_worker_lost": False}


@shared_task(lane="default", **_CLAIMING)
def process() -> None:
    """Processes the next batch of documents."""
    if _work(Queue.DEFAULT):
        process.delay()


@shared_task(lane="low", **_CLAIMING)
def process_large() -> None:
    """Processes the next of what takes long."""
    if _work(Queue.LOW):
        process_large.delay()


def hint(document: Document) -> None:
    """Tells the workers of a document that was queued, once it is committed."""
    task = process_large if document.queue == Queue.LOW else process
    task.delay_on_commit()


def _work(queue: Queue) -> bool:
    """Processes one tenant's next batch, the tenants in turn; whether there is more to do."""
    with row_security.across():
        batch = states.claim_next(queue, after=_turns.get(queue))
    if not batch:
        return False
    tenant_id = _turns[queue] = batch[0].tenant_id
    with row_security.within(tenant_id):
        ingest.process(batch)
    with row_security.across():
        return states.has_free(queue)


@shared_task(lane="critical", **_CHORE)
def sweep() -> None:
    """Finds what was lost: a message that never arrived, a worker that went silent, a model that is back."""
    with row_security.across():
        spent = states.spent()
        waiting = [
            task
            for queue, task in ((Queue.DEFAULT, process), (Queue.LOW, process_large))
            if states.has_free(queue)
        ]
    for document in spent:
        with row_security.within(document.tenant_id):
            ingest.give_up(document)
    for task in waiting:
        for _ in range(SWEEPERS_HINTS):
            task.delay()


@shared_task(lane="low", **_CHORE)
def tend_corpora() -> None:
    """Makes BM25 weights anew where a corpus has changed so much that they are off, and missing vector indexes."""
    with row_security.across():
        corpora = list(CorpusStatistics.objects.across_tenants())
    for statistics in filter(reweighing.drifted, corpora):
        with row_security.within(statistics.tenant_id):
            reweighing.reweigh(statistics.tenant_id)
    for space in EmbeddingSpace.objects.exclude(state=EmbeddingSpace.State.RETIRED):
        vector_index.tend(space)
