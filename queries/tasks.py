"""The tasks of workers: partitions, retention and evaluation."""

from celery import shared_task
from celery.contrib.django.task import DjangoTask

from queries import retention
from queries.evaluations import running
from ragsite.lib.hints import Hint
from ragsite.lib.postgres import partitions


# These two are scheduled again anyway: one that kills its worker must not be given to the next worker.
# In the critical lane, because a scan of many pages takes half an hour, and many of them may be waiting.
@shared_task(base=DjangoTask, lane="critical", acks_late=True, reject_on_worker_lost=False)
def make_partitions() -> None:
    """Makes the partitions of the coming months, so that no row falls into the default partition."""
    for table in retention.PARTITIONED:
        partitions.make_ahead(table)


@shared_task(base=DjangoTask, lane="critical", acks_late=True, reject_on_worker_lost=False)
def prune() -> None:
    """Deletes what has been kept long enough."""
    retention.prune()


@shared_task(base=Hint, lane="low", acks_late=True, reject_on_worker_lost=False)
def evaluate() -> None:
    """Works on the run that has waited longest, for a few seconds, then queues itself behind the rest of the lane."""
    if running.step():
        evaluate.delay()
