"""What the workers do for keys."""

from celery import shared_task
from celery.contrib.django.task import DjangoTask

from apikeys import tally


# Chores come again by themselves: one that ends its worker must not be the next one's first.
# Not behind documents: a scan of many pages takes half an hour, and a tenant may have many of those.
@shared_task(base=DjangoTask, lane="critical", acks_late=True, reject_on_worker_lost=False)
def fold_tally() -> None:
    """Adds up how often keys were used, once a minute: a busy key's row is not rewritten more often than that."""
    tally.fold()
