"""When a message that was not taken is sent again."""

import random

# As the specification's example begins; with the first try nine of them, over 28 hours.
DELAYS = (5, 60, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)
TRIES = len(DELAYS) + 1
_JITTER = 0.2  # so that what failed together does not come back together
_LONGEST_WAIT = 12 * 3600.0


def delay(attempts: int, *, retry_after: float = 0.0) -> float | None:
    """Seconds until the next try after so many; None when there is none.

    `retry_after`: seconds that the receiver asks for, heeded where they are more, up to half a day.
    """
    if attempts >= TRIES:
        return None
    planned = DELAYS[max(0, attempts - 1)] * (1 + random.uniform(0, _JITTER))  # noqa: S311  no secret
    return max(planned, min(retry_after, _LONGEST_WAIT))
