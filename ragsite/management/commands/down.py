"""Stops the site that `up` runs in this data directory."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ragsite import instance


class Command(BaseCommand):
    help = "Stop what `up` runs in this data directory, and wait until it is gone."
    requires_system_checks = []

    def handle(self, **_: Any) -> None:
        try:
            pid = instance.stop(settings.DATA_DIR, seconds=90, say=self._say)
        except TimeoutError as error:
            raise CommandError(str(error)) from error
        self._say("Nothing runs here." if pid is None else f"Stopped (pid {pid}).")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
