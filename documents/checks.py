"""System checks: what keeps uploaded files from being read as safely, or as well, as they can be."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004  Django's name for it

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
