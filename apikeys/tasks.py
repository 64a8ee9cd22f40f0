"""What the workers do for keys."""

from celery import shared_task
from celery.contrib.django.task import DjangoTask

from apikeys import tally


# Chores come again by themselves: one that ends its worker must not be the next one's first.
@shared_task(base=DjangoTask, lane="low", acks_late=True, reject_on_worker_lost=False)
def fold_tally() -> None:
    """Adds up how often keys were used, once a minute: a busy key's row is not rewritten more often than that."""
    tally.fold()
