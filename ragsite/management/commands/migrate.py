"""manage.py migrate, by the role that owns the tables."""

from typing import Any

from django.core.management.base import CommandParser
from django.core.management.commands import migrate

from ragsite.lib import row_security
from ragsite.lib.postgres import OWNER


class Command(migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database=OWNER)

    def handle(self, *args: Any, **options: Any) -> None:
        with row_security.across():  # it changes everybody's rows
            super().handle(*args, **options)
