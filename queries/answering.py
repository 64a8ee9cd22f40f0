"""Answers a question: retrieves, generates, checks, and writes down what was asked and answered."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any
from uuid import UUID

from accounts.models import Tenant
from apikeys.callers import Caller
from apikeys.purses import CallersPurse
from documents import access, search
from documents.models import Document
from documents.search import Found, Scope
from queries import followups, generation, history
from queries.answers import Answer, Ask, sources
from queries.followups import Standalone
from queries.generation import Generated
from queries.models import Query
from ragsite.lib.errors import AppError, Invalid, NotFound

CLIENT_LEFT = "client_left"

Part = Mapping[str, Any] | str | Answer  # a source as it is shown, a piece of the text, the whole


@dataclass(frozen=True, slots=True)
class _Question:
    """A question that is allowed, and being answered since `started`."""

    caller: Caller
    ask: Ask
    query_id: UUID
    tenant: Tenant
    scope: Scope
    started: float


def retrieve(caller: Caller, ask: Ask) -> Found:
    """The chunks that the answer would be made from."""
    tenant = caller.tenant()
    return search.hybrid(scope(caller, ask), ask.question, top_k=ask.top_k or tenant.top_k)


def answer(caller: Caller, ask: Ask, *, query_id: UUID) -> Answer:
    """The answer, already in the history. One that failed is there too, unless it was not allowed to be asked."""
    question = _allowed(caller, ask, query_id)
    with _failures_kept(question):
        meant = _meant(question)
        found = _found(question, meant)
        generating = perf_counter()
        generated = generation.generate(
            meant.text,
            found.hits,
            idf=followups.weighed(found.idf, ask.question),
            purse=CallersPurse(caller, query_id),
            tenant_prompt=question.tenant.prompt,
        )
    return _kept(question, meant, found, generated, generating=generating)


def stream(caller: Caller, ask: Ask, *, query_id: UUID) -> Generator[Part, None, None]:
    """The sources, then the answer's text in pieces, and last the answer, which is in the history by then.

    Closing it before its end closes the call to the model; `leave` is then for the caller to say.
    """
    question = _allowed(caller, ask, query_id)
    generated = None
    with _failures_kept(question):
        meant = _meant(question)
        found = _found(question, meant)
        yield from sources(found.hits)
        generating = perf_counter()
        told = generation.stream(
            meant.text,
            found.hits,
            idf=followups.weighed(found.idf, ask.question),
            purse=CallersPurse(caller, query_id),
            tenant_prompt=question.tenant.prompt,
        )
        with closing(told):
            for part in told:
                if isinstance(part, str):
                    yield part
                else:
                    generated = part
    if generated is not None:
        yield _kept(question, meant, found, generated, generating=generating)


def leave(caller: Caller, ask: Ask, *, query_id: UUID, milliseconds: float) -> None:
    """The client left before its answer's end, and the history says so."""
    history.save_failure(caller, ask, query_id=query_id, code=CLIENT_LEFT, milliseconds=milliseconds)


def _allowed(caller: Caller, ask: Ask, query_id: UUID) -> _Question:
    started = perf_counter()
    return _Question(caller, ask, query_id, caller.tenant(), scope(caller, ask), started)


@contextmanager
def _failures_kept(question: _Question) -> Iterator[None]:
    try:
        yield
    except AppError as error:
        history.save_failure(
            question.caller,
            question.ask,
            query_id=question.query_id,
            code=error.error_code,
            milliseconds=_since(question.started),
        )
        raise


def _meant(question: _Question) -> Standalone:
    """The question as it is meant after what was said before it."""
    tenant_id, ask = question.tenant.pk, question.ask
    if not ask.turns:
        return Standalone(ask.question)
    return followups.standalone(
        ask.question,
        ask.turns,
        rarity=lambda text: {term.word: term.idf for term in search.terms_of(tenant_id, text)},
        purse=CallersPurse(question.caller, question.query_id),
    )


def _found(question: _Question, meant: Standalone) -> Found:
    """What the answer is made from: nothing, unless something shares a word with the question or lies near it."""
    tenant, ask = question.tenant, question.ask
    found = search.hybrid(question.scope, meant.text, top_k=ask.top_k or tenant.top_k)
    near = any(hit.bm25 > 0 or hit.cosine >= 1 - tenant.distance_threshold for hit in found.hits)
    return found if near else replace(found, hits=[])


def _kept(
    question: _Question, meant: Standalone, found: Found, generated: Generated, *, generating: float
) -> Answer:
    ask = question.ask
    made = Answer(
        query_id=question.query_id,
        question=ask.question,
        generated=replace(generated, spent=meant.spent.plus(generated.spent)),
        hits=found.hits,
        timings_ms={**meant.timings_ms, **found.timings_ms, "generate": _since(generating)},
        standalone=meant.text if meant.text != ask.question else None,
        conversation=ask.conversation,
    )
    history.save(question.caller, made, milliseconds=_since(question.started))
    return made


def scope(caller: Caller, ask: Ask) -> Scope:
    """What may be found for this caller and question; NotFound for a collection or document it may not read."""
    if ask.database:
        raise NotFound("There is no such database.")
    if ask.route == Query.Route.DATABASE:
        raise Invalid("No database is connected.", code="no_database")
    collections = caller.collections
    if ask.collection is not None:
        collections = (access.collection(caller, ask.collection).pk,)
    within = Scope(caller.tenant_id, collections, ask.document_ids, ask.metadata)
    _check_documents(within)
    return within


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
