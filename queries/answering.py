"""Answers a question: retrieves, generates, checks, and writes the history."""

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
from queries.chats.followups import Rarity, Standalone
from queries.generating import chat_models, generation
from queries.generating.generation import Brief, Generated
from queries.scopes import scope
from queries.traces.tracing import Trace
from queries.trials import AS_SET, Trial
from ragsite.lib.concurrency import computing, deadlines, presence, rooms
from ragsite.lib.errors import AppError, ClientLeft

# Put before a program's instructions: they may shape the answer, but not override those of the site and the tenant.
_WISHES = "The program that asks adds the wishes below. Follow them where they contradict nothing above."

# Time for the models that are asked before the one that answers. Without it, an answer that hangs would always be cut
# off by the deadline of its question, and its endpoint would never be blamed (`vendor_errors.verdict`).
_SLACK_SECONDS = 1.5

Part = Mapping[str, Any] | str | Answer
"""A source as the API shows it, a piece of the text, or the whole answer."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A question that is allowed and is being answered.

    `started` is a time of `perf_counter`. Models are asked until `deadline`, a time of the monotonic clock.
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
        """The tenant's and the asking program's instructions for the model."""
        if not self.ask.instructions:
            return self.tenant.prompt
        return f"{self.tenant.prompt}\n\n{_WISHES}\n{self.ask.instructions}".strip()


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A question as it is meant, what was found for it, and what the answer is to be made from."""

    meant: Standalone
    found: Found
    brief: Brief


def retrieve(caller: Caller, ask: Ask, *, query_id: UUID | None = None, trial: Trial = AS_SET) -> Found:
    """The chunks that the answer would be made from. The request `query_id`, if given, pays for a reranker."""
    tenant = trial.applied(caller.tenant())
    purse = CallersPurse(caller, query_id) if query_id else None
    top_k = ask.top_k or tenant.top_k
    with computing.slot(), deadlines.until(_deadline()):
        return search.hybrid(scope(caller, ask), ask.question, top_k=top_k, purse=purse, space=trial.space)


def answer(caller: Caller, ask: Ask, *, query_id: UUID, replay_of: UUID | None = None) -> Answer:
    """The answer, which is then in the history. So is a failure, unless the question was not allowed at all.

    Raises Unavailable where too many requests wait for models already, and ClientLeft when the client has gone.
    """
    with _room(caller):
        question = _allowed(caller, ask, query_id)
        question.trace.replay_of = replay_of
        with _failures_kept(question):
            made = _answered(question)
        return _kept(question, made)


def try_out(caller: Caller, ask: Ask, *, query_id: UUID, trial: Trial) -> Answer:
    """The answer with the settings of a trial. It costs what any answer costs, and is not written into the history.

    The caller has to close its tab (`usage.settle`).
    """
    with chat_models.only(trial.model):
        return _answered(_allowed(caller, ask, query_id, trial))


def _answered(question: _Question) -> Answer:
    with deadlines.until(question.deadline):
        prepared = _prepared(question)
        presence.check()  # no model is asked for a client that left
        generating = perf_counter()
        generated = generation.generate(prepared.brief)
    return _made(question, prepared, generated, generating=generating)


def stream(caller: Caller, ask: Ask, *, query_id: UUID) -> Generator[Part, None, None]:
    """The sources, then the answer's text in pieces, and last the whole answer, which is then in the history.

    Closing it early closes the call to the model; the caller then has to call `leave`. Raises what `answer` raises, if
    possible before the first part.
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
    """Writes into the history that the client left before the end of its answer."""
    with computing.slot(for_client=False):
        history.save_failure(caller, ask, query_id=query_id, code=ClientLeft.code, milliseconds=milliseconds)


def _room(caller: Caller) -> AbstractContextManager[None]:
    """Limits how many requests wait for a model. Quoting needs no wait."""
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
        with computing.slot(for_client=False):
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
    """The question, with what it leaves to the conversation before it."""
    ask = question.ask
    if not ask.turns:
        return Standalone(ask.question)
    return followups.standalone(ask.question, ask.turns, rarity=_rarity(question), purse=question.purse())


def _rarity(question: _Question) -> Rarity:
    """By the corpus. A caller who reads only a part of it would learn from that which words stand in the rest."""
    tenant_id = question.tenant.pk
    if question.caller.collections is not None:
        return followups.by_length
    return lambda text: {term.word: term.idf for term in search.terms_of(tenant_id, text)}


def _found(question: _Question, meant: Standalone) -> Found:
    """What the search finds; no hits unless one of them shares a word with the question or is near it in meaning."""
    tenant, ask = question.tenant, question.ask
    with computing.slot():
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
    """What was found, with neighbouring chunks joined, and as much of it as fits."""
    ask, tenant = question.ask, question.tenant
    return generation.fitted(
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
    with computing.slot(for_client=False):
        history.save(question.caller, made, milliseconds=_since(question.started))
    return made


def _since(moment: float) -> float:
    return round((perf_counter() - moment) * 1000, 1)
