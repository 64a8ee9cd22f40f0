"""Answers a question: retrieves, generates, checks, and writes down what was asked and answered."""

from collections.abc import Sequence
from time import perf_counter
from uuid import UUID

from accounts.models import Tenant
from apikeys.callers import Caller
from documents import intake, search
from documents.models import Document
from documents.search import Found, Hit, Scope
from queries import generation, history
from queries.answers import Answer, Ask
from queries.models import Query
from ragsite.lib.errors import AppError, Invalid, NotFound


def retrieve(caller: Caller, ask: Ask) -> Found:
    """The chunks that the answer would be made from."""
    tenant = Tenant.objects.get(pk=caller.tenant_id)
    return search.hybrid(scope(caller, ask), ask.question, top_k=ask.top_k or tenant.top_k)


def answer(caller: Caller, ask: Ask, *, query_id: UUID) -> Answer:
    """The answer, already in the history. One that failed is there too, and raises as it failed."""
    started = perf_counter()
    tenant = Tenant.objects.get(pk=caller.tenant_id)
    within = scope(caller, ask)
    try:
        found = search.hybrid(within, ask.question, top_k=ask.top_k or tenant.top_k)
        near = _near(found.hits, tenant.distance_threshold)
        generating = perf_counter()
        generated = generation.generate(ask.question, near, idf=found.idf, tenant_prompt=tenant.prompt)
    except AppError as error:
        history.save_failure(
            caller, ask.question, query_id=query_id, error=error, milliseconds=_since(started)
        )
        raise
    timings = {**found.timings_ms, "generate": _since(generating)}
    made = Answer(query_id, ask.question, generated, near, timings)
    history.save(caller, made.question, query_id=query_id, made=made, milliseconds=_since(started))
    return made


def scope(caller: Caller, ask: Ask) -> Scope:
    """What may be found for this caller and question; NotFound for a collection or document it may not read."""
    if ask.route == Query.Route.DATABASE or ask.database:
        if ask.database:
            raise NotFound("There is no such database.")
        raise Invalid("No database is connected.", code="no_database")
    collections = caller.collections
    if ask.collection is not None:
        chosen = intake.existing_collection(caller.tenant_id, ask.collection).pk
        if collections is not None and chosen not in collections:
            raise NotFound("There is no such collection.")
        collections = (chosen,)
    within = Scope(caller.tenant_id, collections, ask.document_ids, ask.metadata)
    _check_documents(within)
    return within


def _near(hits: Sequence[Hit], distance: float) -> list[Hit]:
    """Leaves out what shares no word with the question and lies further from it than `distance`."""
    return [hit for hit in hits if hit.bm25 > 0 or hit.cosine >= 1 - distance]


def _check_documents(within: Scope) -> None:
    if not within.document_ids:
        return
    documents = Document.objects.for_tenant(within.tenant_id).filter(pk__in=within.document_ids)
    if within.collection_ids is not None:
        documents = documents.filter(collection_id__in=within.collection_ids)
    if documents.count() != len(set(within.document_ids)):
        raise NotFound("There is no such document.")


def _since(moment: float) -> float:
    return round((perf_counter() - moment) * 1000, 1)
