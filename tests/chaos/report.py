"""What a case asked for, what it saw, and what was wrong with that."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import site
from tests.site import Site

SHOWN = 20  # a site that is broken fails in thousands of places


@dataclass(frozen=True)
class Report:
    """Figures by name; times in milliseconds where a name says so. It held when there are no faults."""

    asked: Mapping[str, Any]
    seen: Mapping[str, Any]
    faults: Sequence[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return not self.faults

    def summary(self) -> dict[str, Any]:
        return {
            "held": self.held,
            "asked": dict(self.asked),
            "seen": dict(self.seen),
            "faults": list(self.faults[:SHOWN]),
        }


def on_its_own_site(case: Callable[[Site], Report], **settings: str) -> Report:
    """The case's report from a whole site that is started for it with these settings, and ended after it."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), **settings) as up,
    ):
        return case(up)
