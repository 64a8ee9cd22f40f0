"""What a search may find: as a caller asks for it, and as SQL."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from documents.searching import filters
from documents.searching.dates import Span

# What holds of a document in a scope, by the parameter that says it. With time zones, for a moment that is stored
# without one is in UTC; silent, for what is no date is not found, and no error.
_CONDITIONS: Final = {
    "collections": "document.collection_id = ANY(%(collections)s::uuid[])",
    "documents": "document.id = ANY(%(documents)s::uuid[])",
    "metadata": "document.metadata @> %(metadata)s::jsonb",
    "path": "jsonb_path_match_tz(document.metadata, %(path)s::jsonpath, %(variables)s::jsonb, true)",
    "created": "document.created_at <@ %(created)s::tstzrange",
    "ready": "document.ready_at <@ %(ready)s::tstzrange",
}


@dataclass(frozen=True)
class Scope:
    """What may be found. None: not restricted; an empty tuple: nothing. `metadata` may compare: see `filters`."""

    tenant_id: UUID
    collection_ids: tuple[UUID, ...] | None = None
    document_ids: tuple[UUID, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created: Span | None = None
    ready: Span | None = None

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The values for `conditions`, None where nothing is restricted. Raises Invalid for a senseless filter."""
        condition = filters.compiled(self.metadata)
        return {
            "tenant": self.tenant_id,
            "collections": _listed(self.collection_ids),
            "documents": _listed(self.document_ids),
            "metadata": json.dumps(dict(condition.contains)) if condition.contains else None,
            "path": condition.path or None,
            "variables": json.dumps(dict(condition.variables)),
            "created": self.created.range() if self.created else None,
            "ready": self.ready.range() if self.ready else None,
        }

    @cached_property
    def conditions(self) -> str:
        """SQL on a `document`, each condition after an AND; empty where nothing is restricted.

        Fixed words alone: whatever a caller sent is among the `parameters`.
        """
        asked = self.parameters
        return "".join(f" AND {text}" for name, text in _CONDITIONS.items() if asked[name] is not None)


def _listed(ids: tuple[UUID, ...] | None) -> list[UUID] | None:
    return None if ids is None else list(ids)
