"""The Celery application. Tasks live in each app's `tasks.py`; beat's schedule stands in the settings."""

import os
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import setup_logging, worker_process_init
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


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Being connected stops Celery from replacing the logging that the settings configure."""


@worker_process_init.connect
def drop_inherited_connections(**_: Any) -> None:
    """A child must not share its parent's sockets with Postgres: two processes on one would mix replies."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None
        connection.close_pool()  # type: ignore[attr-defined]  # Postgres only, which is what we run on
