"""manage.py evaluate: measures retrieval and answers on a collection with known answers."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from queries.evaluations.benchmarks import corpora, measuring
from queries.evaluations.benchmarks.measuring import Scores


class Command(BaseCommand):
    help = (
        "Ingests a collection into a tenant of its own, asks every question of it, and shows how good it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("collection", choices=sorted(corpora.READERS))
        parser.add_argument(
            "path", type=Path, nargs="?", help="The folder with the collection's files; `reports` has none."
        )
        parser.add_argument("--json", action="store_true", help="Figures for programs.")

    def handle(self, *, collection: str, path: Path | None, **options: Any) -> None:
        if path is None and collection != "reports":
            raise CommandError(f"Where are the files of {collection}?")
        corpus = corpora.READERS[collection](path or Path())
        columns = (
            TextColumn("{task.description:>9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar, measuring.throwaway_tenant() as tenant:
            ingested = bar.add_task("documents", total=len(corpus.documents))
            measuring.load(tenant, corpus, progress=lambda: bar.advance(ingested))
            asked = bar.add_task("questions", total=len(corpus.questions))
            rows = measuring.run(
                tenant, corpus.questions, measures=collection, progress=lambda: bar.advance(asked)
            )
            rows |= measuring.reference(tenant, corpus.questions, measures=collection)
        self.stdout.write(
            json.dumps({collection: rows}, indent=2) if options["json"] else _table(collection, rows)
        )


def _table(title: str, rows: dict[str, Scores]) -> str:
    """One row a ranking, one column a measure."""
    measures = list(dict.fromkeys(name for scores in rows.values() for name in scores))
    table = Table("ranking", *measures, title=title)
    for ranking, scores in rows.items():
        table.add_row(ranking, *(f"{scores[name]:.4f}" if name in scores else "" for name in measures))
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()
