"""manage.py prune: deletes what has been kept long enough."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from queries import retention


class Command(BaseCommand):
    help = "Deletes records, history, audit entries and sessions that are older than they are to be kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would go, and delete nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        gone = retention.prune(dry_run=dry_run)
        verb = "Would drop" if dry_run else "Dropped"
        for month, count in sorted(gone.months.items()):
            rows = "" if count is None else f" ({count} rows)"
            self.stdout.write(f"{verb} {month}{rows}.")
        verb = "Would delete" if dry_run else "Deleted"
        for table, count in sorted(gone.rows.items()):
            self.stdout.write(f"{verb} {count} rows of {table}.")
