"""The Celery application. Tasks live in each app's `tasks.py`, where each says its queue and limits."""

import os
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import setup_logging, worker_process_init
from django.conf import settings
from django.db import connections
from kombu import Connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")


class _Broker(Connection):
    """Looks for a broker that went away every second or two: kombu's pauses grow to half a minute, and work would wait."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        pauses = {"interval_start": 1, "interval_step": 0.5, "interval_max": 2}
        return super().ensure_connection(*args, **(pauses | kwargs))


class _Messages(AMQP):
    Connection = _Broker


app = Celery("ragsite", amqp=_Messages)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def _queue(name: str, *_: Any, **__: Any) -> dict[str, str]:
    """Each task's decorator names its `lane`. (Celery's own word for it, `queue`, is to go with its next version.)"""
    return {"queue": app.tasks[name].lane}


app.conf.task_routes = (_queue,)
app.conf.beat_schedule = {
    "sweep": {
        "task": "documents.tasks.sweep",
        "schedule": float(settings.SWEEP_SECONDS),
        "options": {"expires": settings.SWEEP_SECONDS},
    },
    "tend-corpora": {"task": "documents.tasks.tend_corpora", "schedule": 60.0, "options": {"expires": 60}},
    "fold-tally": {"task": "apikeys.tasks.fold_tally", "schedule": 60.0, "options": {"expires": 60}},
    "make-partitions": {"task": "queries.tasks.make_partitions", "schedule": 6 * 3600.0},
    # Often, since beat counts from its own start: once a day would be never where it is restarted every night.
    "prune": {"task": "queries.tasks.prune", "schedule": 6 * 3600.0, "options": {"expires": 3600}},
}


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Being connected stops Celery from replacing the logging that the settings configure."""


@worker_process_init.connect
def drop_inherited_connections(**_: Any) -> None:
    """A child must not share its parent's sockets with Postgres: two processes on one would mix replies."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None
        connection.close_pool()  # type: ignore[attr-defined]  # Postgres only, which is what we run on
