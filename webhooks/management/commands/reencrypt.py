"""manage.py reencrypt: encrypts what is kept encrypted with the first of the keys."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ragsite.lib import crypto, row_security
from webhooks import endpoints


class Command(BaseCommand):
    help = "Encrypts the secrets of webhooks with the first key of ENCRYPTION_KEY, so that the others can go."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with row_security.across():
                count = endpoints.reencrypt()
        except crypto.Unreadable as error:
            raise CommandError(
                "A secret is under none of the keys in ENCRYPTION_KEY. Nothing was changed."
            ) from error
        self.stdout.write(f"{count} webhooks' secrets are under the first key.")
