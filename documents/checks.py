"""System checks: what keeps uploaded files from being stored, or from being read as safely or as well as they can be."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's name for it

from documents import ocr, sandbox


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
            hint="Install them (tesseract-ocr-deu for deu), or change OCR_LANGUAGES. Scanned pages are not read until then.",
            id="ragsite.W006",
        )
    ]
