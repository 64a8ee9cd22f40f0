"""Calls to model vendors' OpenAI-compatible endpoints: bounded, retried, with fallbacks, breakers and places.

All of it goes on in the caller's thread; only the requests themselves are on the event loop.
"""

import logging
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import openai
import tenacity

from ragsite.lib.concurrency import deadlines, waiting
from ragsite.lib.errors import AppError, BudgetSpent, ClientLeft, ModelFailed, ModelTimeout, Unavailable
from ragsite.lib.inference import circuits, vendor_errors
from ragsite.lib.inference.circuit_rules import Refusal
from ragsite.lib.inference.circuits import Passage
from ragsite.lib.inference.vendor_client import Endpoint, client, run
from ragsite.lib.inference.vendor_tries import Ledger, Try

T = TypeVar("T")

BACKOFF = tenacity.wait_exponential_jitter(multiplier=0.25, max=4.0, jitter=0.25)
_SLACK_SECONDS = 2.0  # after its deadline a call is over, and its place free
_PASSED_OVER = {"open": "circuit_open", "held": "held", "full": "model_busy"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate(Generic[T]):
    """A model that may be asked. What `ask` learns of the try, such as its tokens, it notes there."""

    endpoint: Endpoint
    model: str
    ask: Callable[[openai.AsyncOpenAI, Try], Coroutine[Any, Any, T]]


@dataclass
class Reply(Generic[T]):
    """What a model has said so far. Leaving its `with` tells circuit and ledger how it ended."""

    value: T
    tried: Try
    passage: Passage
    ledger: Ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tried.end(error)
        self.ledger.end(self.tried)
        self.passage.leave(vendor_errors.verdict(error))


def call(endpoint: Endpoint, *, model: str, ask: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, T]]) -> T:
    """The answer of a model that has no fallbacks and keeps no ledger. Raises what `first` raises."""
    candidate = Candidate(endpoint, model, lambda client, _: ask(client))
    with first([candidate], seconds=endpoint.timeout_seconds, ledger=Ledger()) as reply:
        return reply.value


def first(candidates: Sequence[Candidate[T]], *, seconds: float, ledger: Ledger) -> Reply[T]:
    """The reply of the first candidate that gives one.

    The time left, by the question's deadline at most, is shared out among the candidates left, so that one that hangs
    leaves time for its fallbacks.

    Raises `ModelTimeout` out of time; `Unavailable` when nothing answers, endpoints limit us, are left alone by their
    circuits or are busy; `ModelFailed` when one answers with an error or with nonsense; `ModelRefused`, which is one,
    when asking again is no use; `BudgetSpent` where the ledger does not let the first request go out.
    """
    seconds = deadlines.left(seconds)
    if not seconds:  # or an endpoint would be blamed, and paid, for a request that could not be made any more
        raise ModelTimeout("The time for the answer was over before the model was asked.")
    deadline = deadlines.after(seconds)
    failure: AppError | None = None
    refusals = []
    for left, candidate in zip(range(len(candidates), 0, -1), candidates, strict=True):
        now = time.monotonic()
        if failure and now >= deadline:
            break
        ends = now + (deadline - now) / left
        entered = _entered(candidate, ledger, ends=ends, lease_seconds=deadline - now + _SLACK_SECONDS)
        if isinstance(entered, Refusal):
            refusals.append(entered)
            continue
        try:
            with vendor_errors.app_errors():
                return _reply(candidate, entered, ends=ends, ledger=ledger)
        except ClientLeft:
            raise  # nobody waits for the next one's answer
        except BudgetSpent as error:
            raise failure or error from None
        except AppError as error:
            failure = error
    raise failure or _refused(refusals)


def _entered(
    candidate: Candidate[T], ledger: Ledger, *, ends: float, lease_seconds: float
) -> Passage | Refusal:
    endpoint, tried = candidate.endpoint, Try(candidate.endpoint.name, candidate.model)
    patience = min(endpoint.queue_seconds, ends - tried.began)
    entered = circuits.of(endpoint).enter(
        candidate.model, lease_seconds=lease_seconds, patience_seconds=patience
    )
    if isinstance(entered, Refusal):
        tried.pass_over(_PASSED_OVER[entered.why])
        ledger.end(tried)
    return entered


def _refused(refusals: Sequence[Refusal]) -> AppError:
    """For whoever was let in nowhere: what ends soonest."""
    if not refusals:
        return ModelFailed("No model is configured.")
    why, seconds = min(refusals, key=lambda refusal: refusal.seconds)
    headers = {"Retry-After": str(max(1, math.ceil(seconds)))}
    match why:
        case "full":
            detail = "As many calls to the model are under way as may be."
            return Unavailable(detail, code="model_busy", headers=headers)
        case "held":
            return Unavailable("The model endpoint is limiting its callers.", headers=headers)
    detail = "The model endpoint failed repeatedly and is left alone for a while."
    return Unavailable(detail, headers=headers)


def _reply(candidate: Candidate[T], passage: Passage, *, ends: float, ledger: Ledger) -> Reply[T]:
    """Raises what the client raises, and then has left the circuit."""
    try:
        retrying = _retrying(candidate.endpoint.tries, ends - time.monotonic())
        value, tried = retrying(_once, candidate, ends=ends, ledger=ledger)
    except BaseException as error:
        passage.leave(vendor_errors.verdict(error), hold_seconds=vendor_errors.hold_seconds(error))
        if isinstance(error, openai.OpenAIError | ModelFailed | TimeoutError):
            said = vendor_errors.said(error, candidate.endpoint)
            logger.warning(
                "model %s at %s gave no answer: %s", candidate.model, candidate.endpoint.name, said
            )
        raise
    return Reply(value, tried, passage, ledger)


def _retrying(tries: int, seconds: float) -> tenacity.Retrying:
    return tenacity.Retrying(
        # A pause that would outlast the time is not begun: the fallback, or the word that there is none, comes sooner.
        stop=tenacity.stop_after_attempt(tries) | tenacity.stop_before_delay(seconds),
        wait=_pause,
        sleep=waiting.pause,
        retry=tenacity.retry_if_exception(vendor_errors.worth_retrying),
        reraise=True,
    )


def _pause(state: tenacity.RetryCallState) -> float:
    asked = vendor_errors.retry_after(state.outcome.exception() if state.outcome else None)
    return BACKOFF(state) if asked is None else asked


def _once(candidate: Candidate[T], *, ends: float, ledger: Ledger) -> tuple[T, Try]:
    tried = Try(candidate.endpoint.name, candidate.model)
    ledger.begin(tried)
    try:
        asking = candidate.ask(client(candidate.endpoint), tried)
        return run(asking, ends - time.monotonic()), tried
    except BaseException as error:
        tried.end(error)
        ledger.end(tried)
        raise
