"""Asks a past question again, with today's corpus and settings, and compares the answers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import UUID

from apikeys.callers import Caller
from apikeys.models import APIKey, KeyCollection
from documents.models import Document
from queries import answering
from queries.answers import Answer, Ask
from queries.models import Query
from queries.traces import differences, explaining
from queries.traces.differences import GivenSource
from queries.traces.explaining import Origin

# Parameters that the trace holds as they were given.
_PLAIN = [field.name for field in fields(Ask) if field.name not in {"question", "document_ids", "turns"}]
NARROWED = "replay"  # the rights of a narrowed caller; no answer is cached under this name


@dataclass(frozen=True, slots=True)
class Replayed:
    """The new answer, which is in the history too, and what differs from the old one."""

    made: Answer
    difference: Mapping[str, Any]


def again(query: Query, caller: Caller, *, query_id: UUID) -> Replayed:
    """`caller` asks and pays, but reads no more than the one who asked then.

    Raises NotFound where there is no trace, or where a collection that it names is gone; and what answering raises.
    """
    then = explaining.origin(query)
    asker = narrowed(caller, query, then.trace)
    made = answering.answer(asker, _asked(then), query_id=query_id, replay_of=query.pk)
    return Replayed(made, _difference(query, then, made))


def narrowed(caller: Caller, query: Query, trace: Mapping[str, Any]) -> Caller:
    """The caller, limited to what the one who asked could read then, and what their key can read now."""
    allowed: set[UUID] | None = None if trace["rights"] is None else {UUID(pk) for pk in trace["rights"]}
    for held in (_of_key(query), None if caller.collections is None else set(caller.collections)):
        if held is not None:
            allowed = held if allowed is None else allowed & held
    if allowed is None:
        return caller
    return replace(caller, collections=tuple(sorted(allowed)), rights=NARROWED)


def _of_key(query: Query) -> set[UUID] | None:
    """The collections that the key may read today. None: all of them, or there was no key, or it is gone."""
    if query.key_id is None:
        return None
    key = APIKey.objects.for_tenant(query.tenant_id).filter(pk=query.key_id).first()
    if key is None or not key.restricted:
        return None
    held = KeyCollection.objects.for_tenant(query.tenant_id).filter(key=key)
    return set(held.values_list("collection_id", flat=True))


def _asked(then: Origin) -> Ask:
    """The same question and parameters, without documents that were removed since."""
    asked, query = then.trace["asked"], then.query
    documents = asked.get("document_ids")
    if documents is not None:
        there = Document.objects.for_tenant(query.tenant_id).filter(pk__in=documents)
        documents = tuple(sorted(there.values_list("pk", flat=True)))
    plain = {name: asked[name] for name in _PLAIN if name in asked}
    return Ask(question=explaining.searched(query), document_ids=documents, **plain)


def _difference(query: Query, then: Origin, made: Answer) -> dict[str, Any]:
    before, after = _given(then.trace), _given(made.trace)
    changed = differences.sources(before, after)
    named = explaining.titles(query.tenant_id, [source["document_id"] for source in changed])
    for source in changed:
        source["title"] = named.get(source["document_id"], (None, None))[0]
    return {
        "sources": changed,
        "answer": {
            "then": query.answer,
            "now": made.generated.text,
            "pieces": [piece._asdict() for piece in differences.texts(query.answer, made.generated.text)],
        },
        "settings": differences.settings(_settings(then.trace), _settings(made.trace)),
    }


def _given(trace: Mapping[str, Any]) -> list[GivenSource]:
    return [
        GivenSource(row["n"], row["chunk"], row["document"], row["page"], row["start"], row["end"])
        for row in explaining.sources(trace)
    ]


def _settings(trace: Mapping[str, Any]) -> dict[str, Any]:
    space = trace.get("space")
    return {**trace["settings"], "space": space[1] if space else None, "lexical_weight": trace.get("weight")}
