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
from queries import generation, history, tracing, trials
from queries.answers import Answer, Ask, sources
from queries.generation import Generated
from queries.models import Query
from queries.tracing import Trace
from queries.trials import AS_SET, Trial
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
    trace: Trace
    trial: Trial


def retrieve(caller: Caller, ask: Ask, *, trial: Trial = AS_SET) -> Found:
    """The chunks that the answer would be made from."""
    tenant = trial.applied(caller.tenant())
    return search.hybrid(scope(caller, ask), ask.question, top_k=ask.top_k or tenant.top_k, space=trial.space)


def answer(caller: Caller, ask: Ask, *, query_id: UUID) -> Answer:
    """The answer, already in the history. One that failed is there too, unless it was not allowed to be asked."""
    question = _allowed(caller, ask, query_id)
    with _failures_kept(question):
        made = _answered(question)
    _keep(question, made)
    return made


def attempt(caller: Caller, ask: Ask, *, query_id: UUID, trial: Trial) -> Answer:
    """The answer as it would be, for whoever measures answers: in no history, and paid like any other."""
    with trials.answering_with(trial.model):
        return _answered(_allowed(caller, ask, query_id, trial))


def _answered(question: _Question) -> Answer:
    found = _found(question)
    generating = perf_counter()
    generated = generation.generate(
        question.ask.question,
        found.hits,
        idf=found.idf,
        purse=CallersPurse(question.caller, question.query_id),
        tenant_prompt=question.tenant.prompt,
    )
    return _made(question, found, generated, generating=generating)


def stream(caller: Caller, ask: Ask, *, query_id: UUID) -> Generator[Part, None, None]:
    """The sources, then the answer's text in pieces, and last the answer, which is in the history by then.

    Closing it before its end closes the call to the model; `leave` is then for the caller to say.
    """
    question = _allowed(caller, ask, query_id)
    generated = None
    with _failures_kept(question):
        found = _found(question)
        yield from sources(found.hits)
        generating = perf_counter()
        told = generation.stream(
            ask.question,
            found.hits,
            idf=found.idf,
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
        made = _made(question, found, generated, generating=generating)
        _keep(question, made)
        yield made


def leave(caller: Caller, ask: Ask, *, query_id: UUID, milliseconds: float) -> None:
    """The client left before its answer's end, and the history says so."""
    history.save_failure(
        caller,
        ask.question,
        query_id=query_id,
        code=CLIENT_LEFT,
        milliseconds=milliseconds,
        trace=tracing.left_behind(query_id),
    )


def _allowed(caller: Caller, ask: Ask, query_id: UUID, trial: Trial = AS_SET) -> _Question:
    started = perf_counter()
    tenant = trial.applied(caller.tenant())
    within = scope(caller, ask)
    return _Question(caller, ask, query_id, tenant, within, started, Trace(caller, ask, tenant), trial)


@contextmanager
def _failures_kept(question: _Question) -> Iterator[None]:
    try:
        yield
    except AppError as error:
        history.save_failure(
            question.caller,
            question.ask.question,
            query_id=question.query_id,
            code=error.error_code,
            milliseconds=_since(question.started),
            trace=question.trace.stored(),
        )
        raise
    except GeneratorExit:  # the client left, and whoever sent the stream calls `leave`
        tracing.leave_behind(question.query_id, question.trace)
        raise


def _found(question: _Question) -> Found:
    """What the answer is made from: nothing, unless something shares a word with the question or lies near it."""
    tenant, ask = question.tenant, question.ask
    found = search.hybrid(
        question.scope, ask.question, top_k=ask.top_k or tenant.top_k, space=question.trial.space
    )
    near = any(hit.bm25 > 0 or hit.cosine >= 1 - tenant.distance_threshold for hit in found.hits)
    question.trace.found, question.trace.given = found, found.hits if near else []
    return found if near else replace(found, hits=[])


def _made(question: _Question, found: Found, generated: Generated, *, generating: float) -> Answer:
    return Answer(
        query_id=question.query_id,
        question=question.ask.question,
        generated=generated,
        hits=found.hits,
        timings_ms={**found.timings_ms, "generate": _since(generating)},
        trace=question.trace.stored(),
        considered=found.considered,
    )


def _keep(question: _Question, made: Answer) -> None:
    history.save(question.caller, made, milliseconds=_since(question.started))


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
