"""Reads what is kept of how an answer came about (`queries.traces.tracing`), for people.

Titles and texts are those of today: a document that was removed has none, and a chunk that was cut anew neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from documents.models import Chunk, Document
from queries.models import Query
from queries.traces import tracing
from ragsite.lib.errors import NotFound


@dataclass(frozen=True, slots=True)
class Made:
    """The query that an answer was made for, and its trace; for an answer from the cache both are another query's."""

    query: Query
    trace: Mapping[str, Any]


def made(query: Query) -> Made:
    """Raises NotFound where nothing was kept: it was asked before there were traces, or never got so far."""
    own = query.trace or {}
    origin = query
    if "of" in own:
        found = Query.objects.for_tenant(query.tenant_id).filter(pk=own["of"]).first()
        if found is None:
            raise NotFound("The query whose answer this was is gone, and its trace with it.")
        origin, own = found, found.trace or {}
    if own.get("v") != tracing.VERSION:
        raise NotFound("No trace was kept of this query.")
    return Made(origin, own)


def explained(query: Query) -> dict[str, Any]:
    """The trace as the API and the admin show it; raises NotFound."""
    origin, trace = (found := made(query)).query, found.trace
    space = trace.get("space")
    return {
        "id": query.pk,
        "question": query.question,
        "answer": query.answer,
        "status": query.status,
        "error_code": query.error_code,
        "created_at": query.created_at,
        "from_cache": query.from_cache,
        "answer_of": origin.pk if origin.pk != query.pk else None,
        "replay_of": trace.get("replay_of"),
        "searched": searched(origin),
        "asked": trace["asked"],
        "collections": trace["rights"],
        "settings": {
            **trace["settings"],
            "space": {"id": space[0], "name": space[1]} if space else None,
            "lexical_weight": trace.get("weight"),
        },
        "terms": [{"word": word, "idf": idf} for word, idf in trace.get("terms", [])],
        "considered": trace.get("considered", 0),
        "candidates": _candidates(query.tenant_id, trace),
        "prompt": _prompt(trace),
        "attempts": origin.attempts,
        "unsupported": origin.unsupported,
        "timings_ms": origin.timings_ms,
        "response_time_ms": query.response_time_ms,
    }


def searched(query: Query) -> str:
    """What was looked for: a follow-up as it is meant in its conversation."""
    return query.standalone_question or query.question


def sources(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The candidates that were given, in the order of their numbers."""
    given = [row for row in rows(trace) if row["n"]]
    return sorted(given, key=lambda row: int(row["n"]))


def rows(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The candidates by the names of their columns; documents by their ids."""
    documents = trace.get("documents", [])
    named = [dict(zip(tracing.COLUMNS, row, strict=True)) for row in trace.get("candidates", [])]
    return [{**row, "document": documents[row["document"]]} for row in named]


def titles(tenant_id: UUID, documents: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Title and collection of those documents that are still there, by id."""
    there = Document.objects.for_tenant(tenant_id).filter(pk__in=documents)
    found = there.values_list("pk", "title", "collection__name")
    return {str(pk): (title, collection) for pk, title, collection in found}


def _candidates(tenant_id: UUID, trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    kept = rows(trace)
    named = titles(tenant_id, trace.get("documents", []))
    chunks = Chunk.objects.for_tenant(tenant_id).filter(pk__in=[row["chunk"] for row in kept])
    texts = {str(pk): text for pk, text in chunks.values_list("pk", "text")}
    return [
        {
            "n": row["n"],
            "chunk_id": row["chunk"],
            "document_id": row["document"],
            "title": named.get(row["document"], (None, None))[0],
            "collection": named.get(row["document"], (None, None))[1],
            "page": row["page"],
            "start": row["start"],
            "end": row["end"],
            "text": texts.get(row["chunk"]),
            "dense": {"rank": row["dense"], "score": row["cosine"]},
            "bm25": {"rank": row["lexical"], "score": row["bm25"]},
            "fused": {"rank": row["fused"], "score": row["score"]},
        }
        for row in sorted(kept, key=lambda row: int(row["fused"]))
    ]


def _prompt(trace: Mapping[str, Any]) -> dict[str, Any] | None:
    prompt = trace.get("prompt")
    if prompt is None:
        return None
    return {"sources": [{"n": number, "tokens": tokens} for number, tokens in prompt["sources"]]}
