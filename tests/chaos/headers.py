"""What the headers of a limited answer must say, whatever the load."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.traffic import Answer

_RATE_LIMIT = re.compile(r'"key";r=(\d+);t=(\d+)')
_LIMITED = 429


@dataclass(frozen=True)
class Limit:
    """A key's: requests a minute, and at once."""

    rate: int
    burst: int

    def faults(self, answers: Iterable[Answer]) -> list[str]:
        return [f"{answer.status}: {fault}" for answer in answers for fault in self._faults(answer)]

    def _faults(self, answer: Answer) -> Iterable[str]:
        headers = answer.headers
        left, reset = headers["x-ratelimit-remaining"], headers["x-ratelimit-reset"]
        draft = _RATE_LIMIT.fullmatch(headers["ratelimit"])
        if not left.isdecimal() or int(left) > self.burst - 1:
            yield f"X-RateLimit-Remaining: {left}"
        if not reset.isdecimal() or not 1 <= int(reset) <= self._seconds(self.burst):
            yield f"X-RateLimit-Reset: {reset}"
        if headers["x-ratelimit-limit"] != str(self.rate):
            yield f"X-RateLimit-Limit: {headers['x-ratelimit-limit']}"
        if headers["ratelimit-policy"] != f'"key";q={self.burst};w={self._seconds(self.burst)}':
            yield f"RateLimit-Policy: {headers['ratelimit-policy']}"
        if draft is None or draft[1] != left or not 1 <= int(draft[2]) <= self._seconds(self.burst):
            yield f"RateLimit: {headers['ratelimit']}"
        yield from self._retry_faults(answer, left=left)

    def _retry_faults(self, answer: Answer, *, left: str) -> Iterable[str]:
        told = answer.headers.get("retry-after")
        if (answer.status == _LIMITED) != (told is not None):
            yield f"Retry-After: {told}"
        elif told is not None and not (told.isdecimal() and 1 <= int(told) <= self._seconds(1)):
            yield f"Retry-After: {told} at {self.rate} a minute"
        if answer.status == _LIMITED and left != "0":
            yield f"refused with {left} left"

    def _seconds(self, tokens: int) -> int:
        """Until a bucket has gained so many, in whole seconds."""
        return math.ceil(tokens * 60 / self.rate)
