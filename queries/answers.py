"""A question and its parameters; an answer and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, NamedTuple
from uuid import UUID

from accounts.models import Tenant
from apikeys.spending import Spent
from documents.searching.hits import Hit
from queries.generating.generation import Generated
from queries.models import Query
from queries.sources import Source, shown
from ragsite.lib import compact


class Turn(NamedTuple):
    """One thing that was said in a conversation before the question."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A question with its parameters.

    `top_k`: None means the tenant's. `metadata` is read by `documents.searching.filters`; `created_at` and `ready_at`
    of documents by `documents.searching.dates`. `turns`: what was said before, oldest first. `conversation`: where
    question and answer will stand; it does not decide the answer, its turns do. `instructions`: how the asking program
    wants the answer written.
    """

    question: str
    top_k: int | None = None
    collection: str | None = None
    document_ids: tuple[UUID, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: Mapping[str, Any] = field(default_factory=dict)
    ready_at: Mapping[str, Any] = field(default_factory=dict)
    route: str = "auto"
    database: str | None = None
    turns: tuple[Turn, ...] = ()
    conversation: UUID | None = None
    instructions: str = ""

    def parameters(self) -> dict[str, Any]:
        """What decides the answer besides the question."""
        return {name: getattr(self, name) for name in _PARAMETERS}


_PARAMETERS = [field.name for field in fields(Ask) if field.name not in {"question", "conversation"}]


@dataclass(frozen=True)
class Answer:
    """An answer, and what it took; times in milliseconds.

    `tenant` has the settings that the answer was made with. `standalone` is the follow-up as it was searched for; None
    where the question was searched for as asked. `trace` is stored in the history (`queries.traces.tracing`).
    `considered` are all candidates of the search, best first.
    """

    query_id: UUID
    tenant: Tenant
    question: str
    generated: Generated
    sources: Sequence[Source]
    timings_ms: Mapping[str, float]
    spent: Spent = field(default_factory=Spent)
    standalone: str | None = None
    conversation: UUID | None = None
    trace: Mapping[str, Any] = field(default_factory=dict)
    considered: Sequence[Hit] = ()

    def shared(self) -> dict[str, Any]:
        """What everyone who asks the same may be given."""
        return {
            "standalone_question": self.standalone,
            "answer": self.generated.text,
            "route": Query.Route.DOCUMENTS,
            "sources": shown(self.sources),
            "unsupported": [span._asdict() for span in self.generated.unsupported],
            "sql": None,
            "columns": None,
            "rows": None,
            "generator": self.generated.generator,
            "model": self.generated.model,
            "fallback": self.generated.fallback,
        }

    @cached_property
    def body(self) -> bytes:
        """`shared` as JSON: what is sent, and what is cached."""
        return compact.encoded(self.shared())
