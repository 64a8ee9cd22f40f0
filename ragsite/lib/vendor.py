"""Calls to a model vendor's OpenAI-compatible endpoint: bounded, retried, with fallbacks and a breaker."""

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import openai
import tenacity

from ragsite.lib.breaker import Breaker
from ragsite.lib.errors import AppError, ModelFailed, ModelRefused, ModelTimeout, Unavailable
from ragsite.lib.per_process import PerProcess
from ragsite.lib.vendor_client import Endpoint, client, run

T = TypeVar("T")
Ask = Callable[[openai.AsyncOpenAI], Awaitable[T]]

TRIES = 3
LONGEST_RETRY_AFTER = 10.0  # seconds; an endpoint that asks for more is left for the next model at once
RETRIED_STATUSES = frozenset({408, 409, 429})
BACKOFF = tenacity.wait_exponential_jitter(multiplier=0.25, max=4.0, jitter=0.25)
_RESET_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

logger = logging.getLogger(__name__)


def call(endpoint: Endpoint, asks: Mapping[str, Ask[T]]) -> T:
    """The answer of the first model that gives one; `asks` maps each model's name to its request, in order.

    The time left is shared out among the models left, so that one that hangs leaves time for its fallbacks.
    Raises `ModelTimeout` out of time; `Unavailable` when nothing answers, the endpoint limits us or the breaker is
    open; `ModelFailed` when it answers with an error or with nonsense; `ModelRefused`, which is one, when asking again
    is no use.
    """
    with app_errors(), breakers.get(endpoint).guarding():
        return run(_first_answer(endpoint, asks), endpoint.timeout_seconds + 1)


def _make_breaker(endpoint: Endpoint) -> Breaker:
    return Breaker(
        "The model endpoint",
        failures=endpoint.breaker_failures,
        reset_seconds=endpoint.breaker_reset_seconds,
        counts=_is_down,
    )


breakers = PerProcess(_make_breaker)


async def _first_answer(endpoint: Endpoint, asks: Mapping[str, Ask[T]]) -> T:
    deadline = time.monotonic() + endpoint.timeout_seconds
    failure: Exception = ModelFailed("No model is configured.")
    for models_left, (model, ask) in zip(range(len(asks), 0, -1), asks.items(), strict=True):
        try:
            seconds = (deadline - time.monotonic()) / models_left
            async with asyncio.timeout(seconds):
                return await _retrying(seconds)(ask, client(endpoint))
        except (openai.OpenAIError, ModelFailed, TimeoutError) as error:
            failure = error
            logger.warning("model %s gave no answer: %s", model, _said(error, endpoint))
    raise failure


def _retrying(seconds: float) -> tenacity.AsyncRetrying:
    return tenacity.AsyncRetrying(
        # A pause that would outlast the time is not begun: the fallback, or the word that there is none, comes sooner.
        stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_before_delay(seconds),
        wait=_pause,
        retry=tenacity.retry_if_exception(_worth_retrying),
        reraise=True,
    )


def _worth_retrying(error: BaseException) -> bool:
    if isinstance(error, openai.APIStatusError):
        transient = error.status_code in RETRIED_STATUSES or error.status_code >= 500
        return transient and (_retry_after(error) or 0) <= LONGEST_RETRY_AFTER
    return isinstance(error, openai.APIConnectionError)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = _retry_after(error) if isinstance(error, openai.APIStatusError) else None
    return BACKOFF(state) if asked is None else asked


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds the endpoint asks us to wait: RFC 9110 section 10.2.3, a number or a date."""
    value = error.response.headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(http_date: str) -> float:
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return math.nan
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _is_down(error: Exception) -> bool:
    """Whether a failure is the endpoint's own, and not this request's."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code in RETRIED_STATUSES or error.status_code >= 500
    return isinstance(error, openai.APIConnectionError | TimeoutError)


def _said(error: Exception, endpoint: Endpoint) -> str:
    """What operators need to read about a failure; endpoints have been seen to repeat the key they refuse."""
    text = f"{type(error).__name__}: {error}"
    return text.replace(endpoint.api_key or "\0", "***")[:300]


@contextmanager
def app_errors() -> Iterator[None]:
    """Raise what the client raises as errors of ours, free of anything the endpoint said."""
    try:
        yield
    except (openai.OpenAIError, TimeoutError) as error:
        # `from None`: the original carries the request, whose headers carry the key.
        raise app_error(error) from None


def app_error(error: Exception) -> AppError:
    """An error of ours for what the client raised."""
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return ModelTimeout("The model took too long to answer.")
    if isinstance(error, openai.APIConnectionError):
        return Unavailable("The connection to the model endpoint failed.")
    if isinstance(error, openai.RateLimitError):
        return Unavailable("The model endpoint is limiting its callers.", headers=_retry_after_header(error))
    if isinstance(error, openai.APIStatusError):
        kind = ModelFailed if _is_down(error) else ModelRefused
        return kind(f"The model endpoint answered with HTTP {error.status_code}.")
    return ModelFailed("The model endpoint's answer cannot be read.")


def _retry_after_header(error: openai.APIStatusError) -> dict[str, str]:
    seconds = _retry_after(error)
    return {} if seconds is None else {"Retry-After": str(math.ceil(seconds))}


def exhausted_seconds(headers: Mapping[str, str]) -> float:
    """How long there is nothing left of a limit, by OpenAI's headers: `6m0s` or `20ms` until it is whole again."""
    return max(
        (
            _duration(headers.get(f"x-ratelimit-reset-{limit}", ""))
            for limit in ("requests", "tokens")
            if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
        ),
        default=0.0,
    )


def _duration(text: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in _RESET_PART.findall(text))
