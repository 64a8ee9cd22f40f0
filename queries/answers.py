"""A question as it is asked, and an answer as it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple
from uuid import UUID

from documents.search import Hit
from queries.generation import Generated
from queries.models import Query


class Turn(NamedTuple):
    """What was said in a conversation before the question."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A question and what it is held to. `top_k` None: as the tenant is set. `turns`: the conversation, oldest first.

    `instructions`: what the program that asks wants of the answer's form.
    """

    question: str
    top_k: int | None = None
    collection: str | None = None
    document_ids: tuple[UUID, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    route: str = "auto"
    database: str | None = None
    turns: tuple[Turn, ...] = ()
    instructions: str = ""

    def parameters(self) -> dict[str, Any]:
        """What decides the answer besides the question."""
        return {name: getattr(self, name) for name in _PARAMETERS}


_PARAMETERS = [field.name for field in fields(Ask) if field.name != "question"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; times in milliseconds. `shared` is what everyone who asks the same may be given."""

    query_id: UUID
    question: str
    generated: Generated
    hits: Sequence[Hit]
    timings_ms: Mapping[str, float]

    def shared(self) -> dict[str, Any]:
        return {
            "answer": self.generated.text,
            "route": Query.Route.DOCUMENTS,
            "sources": sources(self.hits),
            "sql": None,
            "columns": None,
            "rows": None,
            "generator": self.generated.generator,
            "model": self.generated.model,
        }


def sources(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """As the API shows them. `n` counts from 1 and is what an answer cites."""
    return [_source(number, hit) for number, hit in enumerate(hits, start=1)]


def _source(number: int, hit: Hit) -> dict[str, Any]:
    return {
        "n": number,
        "document_id": str(hit.document_id),
        "title": hit.title,
        "collection": hit.collection,
        "page": hit.first_page,
        "chunk_id": str(hit.chunk_id),
        "start": hit.start,
        "end": hit.end,
        "text": hit.text,
        "score": hit.score,
    }
