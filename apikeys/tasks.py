"""What the workers do for keys."""

from celery import shared_task

from apikeys import tally


@shared_task
def fold_tally() -> None:
    """Adds up how often keys were used, once a minute: a busy key's row is not rewritten more often than that."""
    tally.fold()
