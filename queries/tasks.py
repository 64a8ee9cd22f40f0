"""What the workers do for records, history and evaluation."""

from celery import shared_task
from celery.contrib.django.task import DjangoTask

from queries import retention
from queries.evaluations import running
from ragsite.lib.hints import Hint
from ragsite.lib.postgres import partitions


# Chores come again by themselves: one that ends its worker must not be the next one's first.
# Not behind documents: a scan of many pages takes half an hour, and a tenant may have many of those.
@shared_task(base=DjangoTask, lane="critical", acks_late=True, reject_on_worker_lost=False)
def make_partitions() -> None:
    """Keeps the months to come ready, so that no row has to go into the default partition."""
    for table in retention.PARTITIONED:
        partitions.make_ahead(table)


@shared_task(base=DjangoTask, lane="critical", acks_late=True, reject_on_worker_lost=False)
def prune() -> None:
    """Deletes what is older than it is to be kept."""
    retention.prune()


@shared_task(base=Hint, lane="low", acks_late=True, reject_on_worker_lost=False)
def evaluate() -> None:
    """A few seconds' work on the evaluation that has waited longest; then again, behind what else waits in the lane."""
    if running.step():
        evaluate.delay()
