"""What a vendor's failure means: for its caller, for the next try, for the endpoint's circuit and for the bill."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
import openai

from ragsite.lib.concurrency import deadlines
from ragsite.lib.errors import AppError, ModelFailed, ModelRefused, ModelTimeout, Unavailable
from ragsite.lib.inference.circuit_rules import Verdict
from ragsite.lib.inference.vendor_client import Endpoint

LONGEST_RETRY_AFTER = 10.0  # seconds; an endpoint that asks for more is left for the next model at once
LONGEST_HOLD = 600.0  # seconds; whoever asks for more is asked again after this
RETRIED_STATUSES = frozenset({408, 409, 429})
RATE_LIMITED = "rate_limited"
_HOLDING_STATUSES = frozenset({429, 503})
_RESET_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def worth_retrying(error: BaseException) -> bool:
    if isinstance(error, openai.APIStatusError):
        return _is_transient(error) and (retry_after(error) or 0) <= LONGEST_RETRY_AFTER
    return isinstance(error, openai.APIConnectionError)


def _is_transient(error: openai.APIStatusError) -> bool:
    return error.status_code in RETRIED_STATUSES or error.status_code >= 500


def retry_after(error: BaseException | None) -> float | None:
    """Seconds the endpoint asks us to wait: RFC 9110 section 10.2.3, a number or a date."""
    if not isinstance(error, openai.APIStatusError):
        return None
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


def hold_seconds(error: BaseException) -> float:
    """For how long nobody is to ask for the model again, because the endpoint said so; 0: it did not."""
    if isinstance(error, openai.APIStatusError) and error.status_code in _HOLDING_STATUSES:
        return min(retry_after(error) or 0.0, LONGEST_HOLD)
    return 0.0


def verdict(error: BaseException | None) -> Verdict:
    """What the end of a call says about its endpoint. One that answers, even with a refusal or nonsense, is `well`.

    One that says how long to wait is not down: it is left alone for so long (`hold_seconds`). A call that its
    question's deadline cut off says nothing: the calls before it may have used up the time.
    """
    if error is None or isinstance(error, GeneratorExit):
        return "well"
    if isinstance(error, openai.APIStatusError):
        return "down" if _is_transient(error) and not hold_seconds(error) else "well"
    if isinstance(error, TimeoutError) and deadlines.is_over():
        return "unknown"
    if isinstance(error, openai.APIConnectionError | TimeoutError):
        return "down"
    # Nonsense is the endpoint's; any other error of ours is a request that was not made.
    return "well" if isinstance(error, ModelFailed) or not isinstance(error, AppError) else "unknown"


def may_be_billed(error: BaseException) -> bool:
    """Whether the vendor may charge for a try that ended so: a request that was refused, or never arrived, is free."""
    if isinstance(error, openai.APIConnectionError):
        return not isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
    return not isinstance(error, openai.APIStatusError)


def outcome(error: BaseException) -> str:
    """A code for how a try ended."""
    if isinstance(error, openai.RateLimitError):
        return RATE_LIMITED
    return error.error_code if isinstance(error, AppError) else app_error(error).error_code


def said(error: BaseException, endpoint: Endpoint) -> str:
    """What operators need to read about a failure: one line, without what would steer a terminal.

    The key is taken out: endpoints have been seen to repeat the one they refuse.
    """
    text = f"{type(error).__name__}: {error}".replace(endpoint.api_key or "\0", "***")
    return "".join(sign if sign.isprintable() else " " for sign in text[:300])


@contextmanager
def app_errors() -> Iterator[None]:
    """Raise what the client raises as errors of ours, free of anything the endpoint said."""
    try:
        yield
    except (openai.OpenAIError, TimeoutError) as error:
        # `from None`: the original carries the request, whose headers carry the key.
        raise app_error(error) from None


def app_error(error: BaseException) -> AppError:
    """An error of ours for what the client raised."""
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return ModelTimeout("The model took too long to answer.")
    if isinstance(error, openai.APIConnectionError):
        return Unavailable("The connection to the model endpoint failed.")
    if isinstance(error, openai.RateLimitError):
        return Unavailable("The model endpoint is limiting its callers.", headers=_retry_after_header(error))
    if isinstance(error, openai.APIStatusError):
        kind = ModelFailed if _is_transient(error) else ModelRefused
        return kind(f"The model endpoint answered with HTTP {error.status_code}.")
    return ModelFailed("The model endpoint's answer cannot be read.")


def _retry_after_header(error: openai.APIStatusError) -> dict[str, str]:
    seconds = retry_after(error)
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
