"""The Celery application. Tasks live in each app's `tasks.py`, where each says its queue and limits."""

import os
import signal
from importlib import import_module
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import celeryd_init, setup_logging, worker_process_init
from django.conf import settings
from django.db import connections
from kombu import Connection

from ragsite import processes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")


class _Broker(Connection):
    """Looks for a broker that went away every second or two: kombu's pauses grow to half a minute."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        pauses = {"interval_start": 1, "interval_step": 0.5, "interval_max": 2}
        return super().ensure_connection(*args, **(pauses | kwargs))


class _Messages(AMQP):
    Connection = _Broker


app = Celery("ragsite", amqp=_Messages)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        # Longer than any chore, which a second delivery would start beside itself. What a killed worker had taken is
        # not waited for: the sweeper hints again.
        "visibility_timeout": 3600,
        # Above the second that a worker waits for a message; an upload waits no longer than this.
        "socket_timeout": 2,
        "socket_connect_timeout": 1,
        # A publish that fails fails quickly: the rows are the truth and the sweeper publishes again.
        "max_retries": 1,
    },
    task_default_queue="default",
    task_ignore_result=True,
    task_publish_retry=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_hijack_root_logger=False,
    worker_max_memory_per_child=settings.WORKER_MEMORY_BYTES // 1024,
    worker_prefetch_multiplier=1,  # what waits at a busy worker waits for it alone
)


def _queue(name: str, *_: Any, **__: Any) -> dict[str, str]:
    """Each task's decorator names its `lane`. (Celery's own word for it, `queue`, is to go with its next version.)"""
    task: Any = app.tasks[name]
    return {"queue": task.lane}


app.conf.task_routes = (_queue,)
app.conf.beat_schedule = {
    "sweep": {
        "task": "documents.tasks.sweep",
        "schedule": float(settings.SWEEP_SECONDS),
        "options": {"expires": settings.SWEEP_SECONDS},
    },
    "deliver-webhooks": {"task": "webhooks.tasks.deliver", "schedule": 5.0, "options": {"expires": 5}},
    "tend-corpora": {"task": "documents.tasks.tend_corpora", "schedule": 60.0, "options": {"expires": 60}},
    "tend-spaces": {
        "task": "documents.tasks.tend_spaces",
        "schedule": float(settings.SWEEP_SECONDS),
        # Long, since a busy worker may not come to its queue for minutes. The next one finds nothing to do.
        "options": {"expires": 300},
    },
    # Where a worker died, or a message was lost; a run that goes on by itself has its own.
    "evaluate": {
        "task": "queries.tasks.evaluate",
        "schedule": float(settings.SWEEP_SECONDS),
        "options": {"expires": 300},
    },
    "fold-tally": {"task": "apikeys.tasks.fold_tally", "schedule": 60.0, "options": {"expires": 60}},
    "make-partitions": {"task": "queries.tasks.make_partitions", "schedule": 6 * 3600.0},
    # Often, since beat counts from its own start: once a day would be never where it is restarted every night.
    "prune": {"task": "queries.tasks.prune", "schedule": 6 * 3600.0, "options": {"expires": 3600}},
}


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Being connected stops Celery from replacing the logging that the settings configure."""


@celeryd_init.connect
def keep_watch(**_: Any) -> None:
    """In workers alone: a web server has no use for it, and would load all that it imports."""
    import_module("ragsite.watchdog")


@worker_process_init.connect
def end_with_the_worker(**_: Any) -> None:
    """A child whose worker was killed would wait for ever for work that nobody gives it."""
    processes.end_with_parent(signal.SIGKILL)


@worker_process_init.connect
def drop_inherited_connections(**_: Any) -> None:
    """A child must not share its parent's sockets with Postgres: two processes on one would mix replies."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None
        connection.close_pool()  # type: ignore[attr-defined]  # Postgres only, which is what we run on
