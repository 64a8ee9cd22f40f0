"""The pauses that endpoints ask for."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import openai
import pytest

from ragsite.lib.inference import vendor_errors


def make_error(retry_after: str | None, status: int = 429) -> openai.APIStatusError:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("POST", "http://127.0.0.1/"))
    return openai.APIStatusError("no", response=response, body=None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
    ],
)
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    assert vendor_errors.retry_after(make_error(value)) == seconds


def test_retry_after_may_be_a_date() -> None:
    in_a_while = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert vendor_errors.retry_after(make_error(in_a_while)) == pytest.approx(60, abs=2)


@pytest.mark.parametrize(
    ("status", "retry_after", "retried"),
    [
        (400, None, False),
        (404, "1", False),
        (408, None, True),
        (429, "10", True),
        (429, "11", False),
        (503, "600", False),
        (529, None, True),
    ],
)
def test_what_may_pass_soon_is_retried(status: int, retry_after: str | None, *, retried: bool) -> None:
    assert vendor_errors.worth_retrying(make_error(retry_after, status)) is retried
