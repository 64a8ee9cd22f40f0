"""manage.py reembed: from one embedding model to another while the site serves."""

from time import sleep
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from documents import tasks
from documents.embedding import space_changes, spaces
from documents.embedding.spaces import State
from documents.models import EmbeddingSpace
from ragsite.lib.errors import AppError, ModelFailed

_POLL_SECONDS = 0.5


class Command(BaseCommand):
    help = (
        "Makes the vectors of every chunk with another model, in the background, while the old ones serve; then lets"
        " the new ones serve. Without an option it shows the embedding spaces."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        asked = parser.add_mutually_exclusive_group()
        asked.add_argument(
            "--to", metavar="PROVIDER:MODEL", help="The model to change to: begins, or goes on."
        )
        asked.add_argument(
            "--switch", action="store_true", help="Let what was built serve once it is complete."
        )
        asked.add_argument("--cancel", action="store_true", help="Give up what is being built.")
        asked.add_argument("--drop", action="store_true", help="Drop the vectors of all retired spaces now.")
        parser.add_argument(
            "--dimensions", type=int, help="Of its vectors. Default: as the model gives them."
        )
        parser.add_argument("--precision", default="", help="int8 (default) or fp32, for the local model.")
        parser.add_argument("--base-url", default="", help="Its endpoint, if it is not EMBEDDING_BASE_URL.")
        parser.add_argument("--no-switch", action="store_true", help="Build, and wait for --switch.")
        parser.add_argument("--wait", action="store_true", help="Show the progress until it serves.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["to"]:
            _refuse(options, "dimensions", "precision", "base_url", "no_switch")
        try:
            self._carry_out(options)
        except ModelFailed as error:
            raise CommandError(f"{error.detail} Nothing was begun.") from error
        except AppError as error:
            raise CommandError(error.detail) from error
        except DatabaseError as error:
            raise CommandError(f"Postgres cannot be asked: {error}") from error

    def _carry_out(self, options: dict[str, Any]) -> None:
        if options["to"]:
            self._begin(options)
        elif options["switch"]:
            space_changes.switch(_building())
        elif options["cancel"]:
            space_changes.cancel(_building())
        elif options["drop"]:
            for space in EmbeddingSpace.objects.filter(state=State.RETIRED):
                space_changes.drop(space)
        tasks.tend_spaces.delay_on_commit()
        if options["wait"] and (being_built := spaces.building()):
            self._wait(being_built)
        self._show()

    def _begin(self, options: dict[str, Any]) -> None:
        target = space_changes.target(
            options["to"],
            precision=options["precision"],
            dimensions=options["dimensions"],
            base_url=options["base_url"],
        )
        space_changes.begin(target, switches=not options["no_switch"])

    def _wait(self, space: EmbeddingSpace) -> None:
        """Until it serves, is complete and held, or was given up. Interrupted, the workers go on."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(str(space), total=space.total)
            while space.state == State.BUILDING and (space.switches or not space.is_complete):
                sleep(_POLL_SECONDS)
                space.refresh_from_db()
                bar.update(
                    task, completed=space.done, total=space.total, description=space.problem or str(space)
                )

    def _show(self) -> None:
        for space in EmbeddingSpace.objects.order_by("pk"):
            self.stdout.write(f"{space.state:9} {space}{_standing(space)}")


def _building() -> EmbeddingSpace:
    space = spaces.building()
    if space is None:
        raise CommandError("No embedding space is being built.")
    return space


def _standing(space: EmbeddingSpace) -> str:
    if space.state == State.RETIRED:
        return f", its vectors are dropped after {space.drops_at:%Y-%m-%d %H:%M} UTC"
    if space.state != State.BUILDING:
        return ""
    if space.is_complete:
        return ", complete" if space.switches else ", complete; --switch lets it serve"
    return f", {space.percent} %" + (f", pauses: {space.problem}" if space.problem else "")


def _refuse(options: dict[str, Any], *names: str) -> None:
    if given := [f"--{name.replace('_', '-')}" for name in names if options[name]]:
        raise CommandError(f"{', '.join(given)} can only be given with --to.")
