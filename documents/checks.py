"""System checks: what keeps uploaded files from being read as safely as they can be."""

from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004  Django's name for it

from documents import sandbox


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
