"""The Celery application. Tasks live in each app's `tasks.py`; beat's schedule stands in the settings."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")

app = Celery("ragsite")
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
