"""What the workers do for documents.

The messages name no document: each is a hint that there is something to claim, of which one is as good as another.
So one that is lost costs nothing as long as another comes, and one that comes twice finds nothing to do.
"""

from threading import Timer
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from celery.signals import worker_process_init
from django.db import DatabaseError, connection
from redis import Redis

from documents import ingest, reweighing, states
from documents.embedding import reembedding, retiring, spaces, vector_index
from documents.models import CorpusStatistics, Document
from ragsite.lib import row_security
from ragsite.lib.errors import AppError
from ragsite.lib.hints import Hint
from ragsite.lib.inference import embeddings
from webhooks import outbox
from webhooks import tasks as webhook_tasks

logger = structlog.get_logger(__name__)

Queue = Document.Queue

# So many messages that wait are enough for any number of workers: whoever takes one looks for all there is.
ENOUGH_HINTS = 64
SWEEPERS_HINTS = 8  # so many workers are woken at once

_turns: dict[Queue, UUID] = {}  # the tenant whose documents this process took last, in each lane


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
    _work(Queue.DEFAULT)


@shared_task(lane="low", **_CLAIMING)
def process_large() -> None:
    """Processes the next of what takes long."""
    _work(Queue.LOW)


@worker_process_init.connect
def warm_up(**_: Any) -> None:
    """Loads the model while the process waits for its first document; one that comes meanwhile waits for the rest.

    In a thread, since a new process has four seconds to report itself, which a busy machine takes without a model. A
    second later, since Celery's own receiver of this signal comes after ours, and closes the process's pool of
    connections. Where that is too early after all, this is logged, and the first document loads the model.
    """
    timer = Timer(1.0, _load_model)
    timer.daemon = True
    timer.start()


def _load_model() -> None:
    try:
        for space in spaces.live():
            embeddings.warm(spaces.model(space))
    except (AppError, DatabaseError) as error:
        logger.warning("the model could not be loaded yet", error=str(error))
    finally:
        connection.close()


def hint(document: Document) -> None:
    """Tells the workers of a document that was queued, once it is committed."""
    _lanes()[Queue(document.queue)].delay_on_commit()


def _work(queue: Queue) -> None:
    """Processes one tenant's next batch, the tenants in turn, and hints at what is left."""
    with row_security.across():
        batch = states.claim_next(queue, after=_turns.get(queue))
    if not batch:
        return
    tenant_id = _turns[queue] = batch[0].tenant_id
    with row_security.within(tenant_id):
        ingest.process(batch)
        told = outbox.is_due(tenant_id)
    if told:
        webhook_tasks.deliver.delay()
    _hint_at_all()


def _hint_at_all(times: int = 1) -> None:
    """Hints at what is free in either lane: a batch may have left something to the other one."""
    with row_security.across():
        free = [task for queue, task in _lanes().items() if states.has_free(queue)]
    for task in free:
        for _ in range(times):
            task.delay()


def _lanes() -> "dict[Queue, Claiming]":
    return {Queue.DEFAULT: process, Queue.LOW: process_large}


@shared_task(lane="critical", **_CHORE)
def sweep() -> None:
    """Finds what was lost: a message that never arrived, a worker that went silent, a model that is back."""
    with row_security.across():
        spent = states.spent()
    for document in spent:
        with row_security.within(document.tenant_id):
            ingest.give_up(document)
    _hint_at_all(SWEEPERS_HINTS)


@shared_task(lane="low", **_CHORE)
def tend_corpora() -> None:
    """Makes BM25 weights anew where a corpus has changed so much that they are off, and missing vector indexes."""
    with row_security.across():
        corpora = list(CorpusStatistics.objects.across_tenants())
    for statistics in filter(reweighing.drifted, corpora):
        with row_security.within(statistics.tenant_id):
            reweighing.reweigh(statistics.tenant_id)
    # One that is being built gets its index at its end: a finished one makes every row that is added dear.
    vector_index.tend(spaces.active())


@shared_task(lane="low", **_CHORE)
def tend_spaces(turn: str = "") -> None:
    """A few seconds' work on the embedding space that is being built, then on one to be dropped; then again."""
    following = reembedding.step(UUID(turn) if turn else None)
    retiring.step()
    if following:
        tend_spaces.delay(str(following))
