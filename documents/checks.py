"""System checks: whether uploads can be stored and read as they should be, and questions asked as configured."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's name for it
from django.db import ProgrammingError

from documents.confined import ocr, sandbox
from documents.embedding import spaces
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


@register()
def bucket_is_described(**_: Any) -> list[CheckMessage]:
    if settings.STORAGE != "s3":
        return []
    problems = []
    if not settings.S3_BUCKET:
        problems.append(("STORAGE is s3 and S3_BUCKET is empty.", "Name the bucket that uploads go to."))
    if bool(settings.S3_ACCESS_KEY_ID) != bool(settings.S3_SECRET_ACCESS_KEY):
        problems.append(
            (
                "Of S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY one is set and the other is empty.",
                "Set both, or neither where the machine has a role of its own.",
            )
        )
    if settings.S3_ENDPOINT_URL and not settings.S3_ENDPOINT_URL.startswith(("http://", "https://")):
        problems.append(
            (
                f"S3_ENDPOINT_URL is {settings.S3_ENDPOINT_URL!r}, which is no address.",
                "Begin it with https:// (or http:// within a machine), and leave the bucket's name out.",
            )
        )
    return [Error(message, hint=hint, id="ragsite.E006") for message, hint in problems]


@register()
def languages_are_installed(**_: Any) -> list[CheckMessage]:
    if not settings.OCR_ENABLED:
        return []
    if not ocr.is_enabled():
        return [
            Warning(
                "OCR_ENABLED is set, and Tesseract is not installed.",
                hint="Install tesseract-ocr, or unset OCR_ENABLED. Scanned pages are not read until then.",
                id="ragsite.W006",
            )
        ]
    missing = sorted(set(settings.OCR_LANGUAGES) - set(ocr.languages()))
    if not missing and settings.OCR_LANGUAGES:
        return []
    return [
        Warning(
            f"Tesseract has no models for what OCR_LANGUAGES names: {', '.join(missing) or 'nothing'}.",
            hint="Install them (tesseract-ocr-deu for deu), or change OCR_LANGUAGES. "
            "Scanned pages are not read until then.",
            id="ragsite.W006",
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
            id="ragsite.E007",
        )
    ]


def _mismatch(space: EmbeddingSpace) -> list[CheckMessage]:
    told = spaces.mismatch(space)
    if told is None:
        return []
    return [Warning(told.what, hint=told.remedy, id="ragsite.W005")]
