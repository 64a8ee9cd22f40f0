"""What the workers do for webhooks."""

from celery import shared_task

from ragsite.lib import row_security
from ragsite.lib.concurrency import solo
from ragsite.lib.hints import Hint
from webhooks.delivering import Deliverer, is_due

# A process of the workers is held so long at most; then another one takes over.
_SECONDS = 60.0


@shared_task(base=Hint, lane="critical", acks_late=True, reject_on_worker_lost=False)
def deliver() -> None:
    """Sends what is due, unless somebody is at it: who is at it looks for more twice a second."""
    deliverer = Deliverer()
    with row_security.across():
        with solo.alone("webhooks") as keep:
            if keep is None:
                return
            deliverer.run(seconds=_SECONDS, pulse=keep)
        left = is_due()
    if left:  # the time was up, or it came while the other who was told of it still saw us at work
        deliver.delay()
    deliverer.drain()
