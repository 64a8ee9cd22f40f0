"""What the workers do for records and history."""

from celery import shared_task

from ragsite.lib import partitions

PARTITIONED = ("apikeys_usage", "queries_query")


@shared_task
def make_partitions() -> None:
    """Keeps the months to come ready, so that no row has to go into the default partition."""
    for table in PARTITIONED:
        partitions.make_ahead(table)
