"""System checks: what keeps uploaded files from being read safely, and questions from being asked as configured."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's name for it
from django.db import ProgrammingError

from documents import sandbox, spaces
from documents.models import EmbeddingSpace


@register(Tags.security)
def parsers_are_confined(**_: Any) -> list[CheckMessage]:
    if sandbox.is_available():
        return []
    return [
        Warning(
            "This kernel does not confine the processes that read uploaded files (no Landlock).",
            hint="They run with limits of time and memory all the same. Use Linux 5.13 or later, and a container "
            "runtime whose seccomp profile allows the landlock system calls.",
            id="ragsite.W003",
        )
    ]


@register(Tags.database)
def settings_describe_what_serves(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Runs where a database may be asked: with `migrate`, and with `check --database default`."""
    if not databases:
        return []
    try:
        space = EmbeddingSpace.objects.filter(state=EmbeddingSpace.State.ACTIVE).first()
    except ProgrammingError:  # `migrate` checks before it makes the table, or a new column of it
        return []
    return [] if space is None else [*_unreachable(space), *_mismatch(space)]


def _unreachable(space: EmbeddingSpace) -> list[CheckMessage]:
    model = spaces.model(space)
    if model.provider == "local" or model.api_key:
        return []
    return [
        Error(
            f"Questions are embedded with {space}, and no setting has a key for {model.base_url}.",
            hint="Set it in EMBEDDING_API_KEYS, or in EMBEDDING_API_KEY with EMBEDDING_BASE_URL.",
            id="ragsite.E006",
        )
    ]


def _mismatch(space: EmbeddingSpace) -> list[CheckMessage]:
    told = spaces.mismatch(space)
    if told is None:
        return []
    return [Warning(told.what, hint=told.remedy, id="ragsite.W005")]
