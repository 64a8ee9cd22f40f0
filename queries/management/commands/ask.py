"""manage.py ask: asks a question and shows the cited answer in a terminal."""

from time import perf_counter
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Tenant
from apikeys import usage
from apikeys.callers import Caller
from apikeys.usage import Entry
from queries import answering
from queries.answers import Answer, Ask
from queries.serializers import SearchIn
from ragsite.lib.errors import AppError
from ragsite.lib.identifiers import uuid7
from ragsite.lib.problems import STATUS

ENDPOINT = "manage.py ask"  # in the record of use


class Command(BaseCommand):
    help = "Asks a question of a tenant's documents."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("question")
        parser.add_argument("--tenant", default="demo", help="The tenant's slug (default: demo).")
        parser.add_argument("--collection", help="Only in this collection.")
        parser.add_argument("--top-k", type=int, help="How many sources.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']!r}.")
        asked = {name: options[name] for name in ("question", "top_k", "collection")}
        body = SearchIn(data=asked)
        if not body.is_valid():
            wrong = (f"{name}: {problem}" for name, problems in body.errors.items() for problem in problems)
            raise CommandError(" ".join(wrong))
        self._show(_answered(Caller(tenant_id=tenant.pk), body.ask()))

    def _show(self, made: Answer) -> None:
        self.stdout.write(made.generated.text + "\n\n")
        for source in made.sources:
            page = f", page {source.first_page}" if source.first_page else ""
            self.stdout.write(f"[{source.n}] {source.title}{page}, characters {source.start}-{source.end}")
        timings = ", ".join(f"{step} {milliseconds} ms" for step, milliseconds in made.timings_ms.items())
        self.stdout.write(f"\n{made.generated.model}: {timings}")


def _answered(caller: Caller, ask: Ask) -> Answer:
    query_id, started, status = uuid7(), perf_counter(), 200
    try:
        return answering.answer(caller, ask, query_id=query_id)
    except AppError as error:
        status, _ = STATUS[type(error)]
        raise CommandError(error.detail) from error
    finally:
        usage.settle(_entry(caller, query_id, status=status, seconds=perf_counter() - started))


def _entry(caller: Caller, query_id: UUID, *, status: int, seconds: float) -> Entry:
    milliseconds = round(seconds * 1000, 1)
    return Entry(query_id, caller.tenant_id, ENDPOINT, "POST", status, milliseconds)
