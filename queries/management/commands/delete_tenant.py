"""manage.py delete_tenant: deletes a tenant with everything that belongs to it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Tenant
from queries import removal
from ragsite.lib import redis_client
from ragsite.lib.errors import AppError


class Command(BaseCommand):
    help = "Deletes an inactive tenant for good: documents, files, keys, users, records, history, cached answers."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--yes", action="store_true", help="Do not ask for the slug again.")

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["slug"]
        tenant = Tenant.objects.filter(slug=slug).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {slug!r}.")
        if not options["yes"] and input(f"Everything of {tenant} will be gone. Its slug, again: ") != slug:
            raise CommandError("That is another slug. Nothing was deleted.")
        try:
            removal.remove(tenant)
        except AppError as error:
            raise CommandError(error.detail) from error
        except redis_client.DOWN as error:
            raise CommandError("Redis cannot be reached, and holds some of what is to go.") from error
        self.stdout.write(f"{tenant} is gone.")
