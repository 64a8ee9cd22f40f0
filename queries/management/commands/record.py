"""manage.py record: moves records of use from Redis into Postgres until it is told to stop."""

import signal
from time import sleep
from typing import Any

import psycopg
import structlog
from django.core.management.base import BaseCommand
from django.db import close_old_connections
from redis import RedisError

from queries import recording
from ragsite.lib import postgres

PAUSE_SECONDS = 0.5  # with what else it waits for, it still ends within a second of being told

# Redis or Postgres is restarting. What was taken and not acknowledged is taken again afterwards.
LOST = (RedisError, *postgres.DOWN, psycopg.OperationalError, psycopg.InterfaceError)

logger = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Moves records of use from Redis into Postgres. One is enough; more share the work."

    def handle(self, *args: Any, **options: Any) -> None:
        self.running = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        redis = recording.client()
        prepared = waiting = False
        while self.running:
            try:
                if not prepared:
                    recording.prepare(redis)
                    prepared = True
                if recording.drain(redis) < recording.BATCH:
                    sleep(recording.GATHER_SECONDS)
                if waiting:
                    logger.info("records move again")
                    waiting = False
            except LOST as error:
                if not waiting:  # once: an outage of a night would fill the disk
                    logger.warning("records wait", error=type(error).__name__)
                prepared, waiting = False, True
                close_old_connections()
                sleep(PAUSE_SECONDS)

    def stop(self, *_: Any) -> None:
        self.running = False
