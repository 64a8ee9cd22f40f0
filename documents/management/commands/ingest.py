"""manage.py ingest: files and folders into a tenant's corpus."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from accounts.models import Tenant
from documents import intake, states, tasks
from documents.models import Collection, Document
from ragsite.lib.errors import AppError, NotFound

_PIECE_BYTES = 1 << 20
_POLL_SECONDS = 0.25


class Command(BaseCommand):
    help = "Stores files, and the files of folders, and waits until the workers have processed them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path)
        parser.add_argument("--tenant", required=True, help="The tenant's slug.")
        parser.add_argument("--collection", default=intake.DEFAULT_COLLECTION)
        parser.add_argument(
            "--replace",
            action="store_true",
            help="Each file takes the place of the collection's earlier documents of the same name.",
        )
        parser.add_argument("--no-wait", action="store_true", help="Return once the files are stored.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']!r}.")
        files = list(_files(options["paths"]))
        if options["replace"]:
            _refuse_namesakes(files)
        collection = _collection(tenant, options["collection"])
        with _bar() as bar:
            kept = [
                self._store(path, tenant, collection, replace=options["replace"])
                for path in bar.track(files, description="stored")
            ]
            # Two files of the same bytes are one document.
            stored = list(dict.fromkeys(pk for pk in kept if pk is not None))
            if not options["no_wait"]:
                _wait(tenant, stored, bar)
        self._report(tenant, stored)

    def _store(self, path: Path, tenant: Tenant, collection: Collection, *, replace: bool) -> UUID | None:
        try:
            with path.open("rb") as file:
                document, queued = intake.store(
                    tenant=tenant,
                    chunks=iter(lambda: file.read(_PIECE_BYTES), b""),
                    filename=path.name,
                    collection=collection,
                    replace=replace,
                )
        except (AppError, OSError) as error:
            self.stderr.write(f"{path}: {error}")
            return None
        if queued:
            tasks.hint(document)
        return document.pk

    def _report(self, tenant: Tenant, ids: list[UUID]) -> None:
        """What became of them; files that were not taken have been told of already."""
        documents = Document.objects.for_tenant(tenant).filter(pk__in=ids)
        for document in documents.filter(status=Document.Status.FAILED):
            self.stderr.write(f"{document.filename}: {document.error_detail} ({document.error_code})")
        ready = documents.filter(status=Document.Status.READY).count()
        self.stdout.write(f"{ready} of {len(ids)} documents are ready.")


def _collection(tenant: Tenant, name: str) -> Collection:
    try:
        return intake.collection_named(tenant, name)
    except NotFound as error:  # it was given by an id
        raise CommandError(error.detail) from error


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(
                entry for entry in path.rglob("*") if entry.is_file() and not entry.name.startswith(".")
            )
        elif path.is_file():
            yield path
        else:
            raise CommandError(f"There is no file {path}.")


def _refuse_namesakes(files: list[Path]) -> None:
    """Of two files of one name in different folders the second would take the first one's place."""
    names = Counter(path.name for path in files)
    if twice := sorted(name for name, count in names.items() if count > 1):
        raise CommandError(f"With --replace each name may stand for one file; there are several {twice[0]}.")


def _bar() -> Progress:
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _wait(tenant: Tenant, ids: list[UUID], bar: Progress) -> None:
    """Until none is queued or processed any more; how long that may take is the workers' business."""
    task = bar.add_task("processed", total=len(ids))
    # Not until so many are finished: one may be deleted meanwhile.
    waiting = states.unfinished(tenant).filter(pk__in=ids)
    while left := waiting.count():
        bar.update(task, completed=len(ids) - left)
        sleep(_POLL_SECONDS)
    bar.update(task, completed=len(ids))
