"""manage.py check_models: tries out every model that the settings name."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from queries.generating import model_checks
from queries.generating.model_checks import Checked
from ragsite.lib.inference.model_probe import Probe

_QUESTIONS = {
    "reachable": "reachable",
    "authenticated": "key accepted",
    "model_known": "model known",
    "answers": "answers",
    "streams": "streams",
    "reports_usage": "reports its tokens",
}


class Command(BaseCommand):
    help = (
        "Asks every model that the settings name one short question, whole and streamed, embeds one text, and has two"
        " reranked."
        " Vendors bill that. Ends with 1 when one does not serve."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="For programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = model_checks.check()
        except ValueError as error:
            raise CommandError(f"The models cannot be read from the settings: {error}.") from error
        if options["json"]:
            self.stdout.write(json.dumps([one.shown() for one in found], indent=2))
        else:
            for one in found:
                self._show(one)
        if not all(one.probe.is_well for one in found):
            raise CommandError("Not every model serves.")

    def _show(self, one: Checked) -> None:
        if not one.model.endpoint:
            self.stdout.write(f"{one.model.serves}: {one.model.model}")
            return
        verdict = self.style.SUCCESS("serves") if one.probe.is_well else self.style.ERROR("does NOT serve")
        self.stdout.write(f"{one.model.serves}: {one.model.model} at {one.model.endpoint} {verdict}")
        self.stdout.write(f"  {told(one.probe)}")
        if one.model.circuit not in {"", "closed"}:
            self.stdout.write(f"  its circuit is {one.model.circuit}")
        if one.probe.problem:
            self.stdout.write(f"  {one.probe.problem}")


def told(probe: Probe) -> str:
    """What was found out, in words."""
    found = {words: getattr(probe, name) for name, words in _QUESTIONS.items()}
    parts = [words if is_so else f"NOT {words}" for words, is_so in found.items() if is_so is not None]
    times = {"answered in": probe.milliseconds, "first token in": probe.first_token_ms}
    parts += [f"{words} {milliseconds:.0f} ms" for words, milliseconds in times.items() if milliseconds]
    return ", ".join(parts) or "no answer in time"
