"""UUIDs that sort by the time they were made (version 7, RFC 9562 section 5.7).

They keep B-tree inserts at the right edge, and a month of rows is a range of ids, so that big tables are
partitioned by their primary key.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
_RANDOM = ((1 << 12) - 1) << 64 | ((1 << 62) - 1)


def uuid7() -> UUID:
    """A new id: 48 bits of Unix milliseconds, then 74 random bits."""
    return UUID(int=(time.time_ns() // 1_000_000) << 80 | _VERSION | _VARIANT | _random_bits())


def _random_bits() -> int:
    return int.from_bytes(os.urandom(10), "big") & _RANDOM


def floor(moment: datetime) -> UUID:
    """The smallest version 7 id of the millisecond of `moment`: the bound of a range of ids."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)  # whole numbers: a float would round
    return UUID(int=milliseconds << 80 | _VERSION | _VARIANT)


def made_at(identifier: UUID) -> datetime:
    """When a version 7 id was made, to the millisecond, in UTC."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, tz=UTC)
