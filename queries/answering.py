"""Answers a question: retrieves, generates, checks, and writes down what was asked and answered."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts.models import Tenant
from apikeys import tabs
from apikeys.callers import Caller
from apikeys.purses import CallersPurse
from documents.searching import search
from documents.searching.search import Found, Scope
from queries import history, sources
from queries.answers import Answer, Ask
from queries.chats import followups
from queries.chats.followups import Standalone
from queries.generating import generation, trials
from queries.generating.generation import Brief, Generated
from queries.generating.trials import AS_SET, Trial
from queries.scopes import scope
from queries.traces.tracing import Trace
from ragsite.lib.concurrency import deadlines, presence, rooms, turns
from ragsite.lib.errors import AppError, ClientLeft

# Before what a program wants of a model: it may shape the answer, and not undo what the site and the tenant ask for.
_WISHES = "The program that asks adds the wishes below. Follow them where they contradict nothing above."

# What is asked before the answer has this much of its own: else an answer that hangs would always be cut off by the
# deadline of its question, and its endpoint never be to blame (`vendor_errors.verdict`).
_SLACK_SECONDS = 3.0

Part = Mapping[str, Any] | str | Answer  # a source as it is shown, a piece of the text, the whole


@dataclass(frozen=True, slots=True)
class _Question:
    """A question that is allowed, and being answered since `started`, by the tenant's settings or as a trial has them.

    `deadline`: until when it asks models, by the monotonic clock.
    """

    caller: Caller
    ask: Ask
    query_id: UUID
    tenant: Tenant
    scope: Scope
    started: float
    trial: Trial
    trace: Trace
    deadline: float

    def purse(self) -> CallersPurse:
        return CallersPurse(self.caller, self.query_id)

    def prompt(self) -> str:
        """What a model is told besides the site's own instructions."""
        if not self.ask.instructions:
            return self.tenant.prompt
        return f"{self.tenant.prompt}\n\n{_WISHES}\n{self.ask.instructions}".strip()


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a question is answered from: how it was meant, what was found, and what of it the answer is made of."""

    meant: Standalone
    found: Found
    brief: Brief


def retrieve(caller: Caller, ask: Ask, *, query_id: UUID | None = None, trial: Trial = AS_SET) -> Found:
    """The chunks that the answer would be made from. What a reranker takes is on the account of the request, if any."""
    tenant = trial.applied(caller.tenant())
    purse = CallersPurse(caller, query_id) if query_id else None
    top_k = ask.top_k or tenant.top_k
    with turns.turn(), deadlines.until(_deadline()):
        return search.hybrid(scope(caller, ask), ask.question, top_k=top_k, purse=purse, space=trial.space)


def answer(caller: Caller, ask: Ask, *, query_id: UUID, replay_of: UUID | None = None) -> Answer:
    """The answer, already in the history. One that failed is there too, unless it was not allowed to be asked.

    Raises Unavailable where too many wait already, and ClientLeft when nobody waits for it any more.
    """
    with _room(caller):
        question = _allowed(caller, ask, query_id)
        question.trace.replay_of = replay_of
        with _failures_kept(question):
            made = _answered(question)
        return _kept(question, made)


def attempt(caller: Caller, ask: Ask, *, query_id: UUID, trial: Trial) -> Answer:
    """The answer as it would be, for whoever measures answers: in no history, and paid like any other.

    Its tab is for the caller to close (`usage.settle`).
    """
    with trials.answering_with(trial.model):
        return _answered(_allowed(caller, ask, query_id, trial))


def _answered(question: _Question) -> Answer:
    with deadlines.until(question.deadline):
        prepared = _prepared(question)
        presence.check()  # or a model would be asked for nobody
        generating = perf_counter()
        generated = generation.generate(prepared.brief)
    return _made(question, prepared, generated, generating=generating)


def stream(caller: Caller, ask: Ask, *, query_id: UUID) -> Generator[Part, None, None]:
    """The sources, then the answer's text in pieces, and last the answer, which is in the history by then.

    Closing it before its end closes the call to the model; `leave` is then for the caller to say. Raises as `answer`
    does, of which it says what it can before the first part.
    """
    with _room(caller):
        question = _allowed(caller, ask, query_id)
        made = None
        steps = deadlines.steps_until(question.deadline, _streamed(question))
        with _failures_kept(question), closing(steps) as parts:
            for part in parts:
                if isinstance(part, Answer):
                    made = part
                else:
                    yield part
        if made is not None:
            yield _kept(question, made)


def _streamed(question: _Question) -> Generator[Part, None, None]:
    prepared = _prepared(question)
    yield from sources.shown(prepared.brief.sources)
    presence.check()
    generating = perf_counter()
    with closing(generation.stream(prepared.brief)) as parts:
        for part in parts:
            if isinstance(part, str):
                yield part
            else:
                yield _made(question, prepared, part, generating=generating)


def leave(caller: Caller, ask: Ask, *, query_id: UUID, milliseconds: float) -> None:
    """The client left before its answer's end, and the history says so."""
    with turns.turn(for_client=False):
        history.save_failure(caller, ask, query_id=query_id, code=ClientLeft.code, milliseconds=milliseconds)


def _room(caller: Caller) -> AbstractContextManager[None]:
    """An answer that quotes is made at once; one by a model is waited for."""
    return rooms.room(caller.tenant_id) if generation.is_by_model() else nullcontext()


def _allowed(caller: Caller, ask: Ask, query_id: UUID, trial: Trial = AS_SET) -> _Question:
    started = perf_counter()
    tenant, within = trial.applied(caller.tenant()), scope(caller, ask)
    trace = tabs.of(query_id).story = Trace(caller, ask, tenant)
    return _Question(caller, ask, query_id, tenant, within, started, trial, trace, _deadline())


def _deadline() -> float:
    return deadlines.after(settings.ANSWER_TIMEOUT_SECONDS + _SLACK_SECONDS)


@contextmanager
def _failures_kept(question: _Question) -> Iterator[None]:
    try:
        yield
    except AppError as error:
        with turns.turn(for_client=False):
            history.save_failure(
                question.caller,
                question.ask,
                query_id=question.query_id,
                code=error.error_code,
                milliseconds=_since(question.started),
            )
        raise


# From a question to what its answer is made from ---------------------------------------------------------------


def _prepared(question: _Question) -> _Prepared:
    meant = _meant(question)
    found = question.trace.found = _found(question, meant)
    brief = _brief(question, meant, found)
    question.trace.given = brief.sources
    return _Prepared(meant, found, brief)


def _meant(question: _Question) -> Standalone:
    """The question as it is meant after what was said before it."""
    tenant_id, ask = question.tenant.pk, question.ask
    if not ask.turns:
        return Standalone(ask.question)
    return followups.standalone(
        ask.question,
        ask.turns,
        rarity=lambda text: {term.word: term.idf for term in search.terms_of(tenant_id, text)},
        purse=question.purse(),
    )


def _found(question: _Question, meant: Standalone) -> Found:
    """What the answer is made from: nothing, unless something shares a word with the question or lies near it."""
    tenant, ask = question.tenant, question.ask
    with turns.turn():
        found = search.hybrid(
            question.scope,
            meant.text,
            top_k=ask.top_k or tenant.top_k,
            purse=question.purse(),
            space=question.trial.space,
        )
    near = any(hit.bm25 > 0 or hit.cosine >= 1 - tenant.distance_threshold for hit in found.hits)
    return found if near else replace(found, hits=[])


def _brief(question: _Question, meant: Standalone, found: Found) -> Brief:
    """What was found, neighbours as one, and as much of it as has room."""
    ask, tenant = question.ask, question.tenant
    return generation.told(
        Brief(
            question=meant.text,
            asked=ask.question,
            sources=sources.merged(tenant.pk, found.hits),
            idf=followups.weighed(found.idf, ask.question),
            purse=question.purse(),
            turns=ask.turns,
            prompt=question.prompt(),
            stands_in=tenant.quotes_without_model,
        )
    )


# From what was generated to an answer --------------------------------------------------------------------------


def _made(question: _Question, prepared: _Prepared, generated: Generated, *, generating: float) -> Answer:
    meant, found, ask = prepared.meant, prepared.found, question.ask
    return Answer(
        query_id=question.query_id,
        tenant=question.tenant,
        question=ask.question,
        generated=generated,
        sources=prepared.brief.sources,
        timings_ms={**meant.timings_ms, **found.timings_ms, "generate": _since(generating)},
        spent=tabs.of(question.query_id).spent(),
        standalone=meant.text if meant.text != ask.question else None,
        conversation=ask.conversation,
        trace=question.trace.stored(),
        considered=found.considered,
    )


def _kept(question: _Question, made: Answer) -> Answer:
    with turns.turn(for_client=False):
        history.save(question.caller, made, milliseconds=_since(question.started))
    return made


def _since(moment: float) -> float:
    return round((perf_counter() - moment) * 1000, 1)
