"""Shows people the trace of an answer, as `queries.traces.tracing` stored it.

Titles and texts are today's: they are missing where the document was removed, or was processed again into new chunks.
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
class Origin:
    """The query that an answer was made for, and its trace. An answer from the cache was made for another query."""

    query: Query
    trace: Mapping[str, Any]


def origin(query: Query) -> Origin:
    """Raises NotFound where there is no trace: the query is from before there were traces, or failed too early."""
    made_for, trace = query, query.trace or {}
    if "of" in trace:
        found = Query.objects.for_tenant(query.tenant_id).filter(pk=trace["of"]).first()
        if found is None:
            raise NotFound("The query whose answer this was is gone, and its trace with it.")
        made_for, trace = found, found.trace or {}
    if trace.get("v") != tracing.VERSION:
        raise NotFound("No trace was kept of this query.")
    return Origin(made_for, trace)


def explained(query: Query) -> dict[str, Any]:
    """The trace as the API and the admin show it. Raises NotFound."""
    found = origin(query)
    made_for, trace = found.query, found.trace
    space = trace.get("space")
    return {
        "id": query.pk,
        "question": query.question,
        "answer": query.answer,
        "status": query.status,
        "error_code": query.error_code,
        "created_at": query.created_at,
        "from_cache": query.from_cache,
        "answer_of": made_for.pk if made_for.pk != query.pk else None,
        "replay_of": trace.get("replay_of"),
        "searched": searched(made_for),
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
        "attempts": made_for.attempts,
        "unsupported": made_for.unsupported,
        "timings_ms": made_for.timings_ms,
        "response_time_ms": query.response_time_ms,
    }


def searched(query: Query) -> str:
    """The question that was searched for: a follow-up with what it leaves to its conversation."""
    return query.standalone_question or query.question


def sources(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The candidates that became sources of the answer, by number."""
    given = [row for row in rows(trace) if row["n"]]
    return sorted(given, key=lambda row: int(row["n"]))


def rows(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The candidates as dictionaries; `document` is the document's id."""
    documents = trace.get("documents", [])
    named = [dict(zip(tracing.COLUMNS, row, strict=True)) for row in trace.get("candidates", [])]
    return [{**row, "document": documents[row["document"]]} for row in named]


def titles(tenant_id: UUID, documents: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Title and collection by document id, of the documents that still exist."""
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
