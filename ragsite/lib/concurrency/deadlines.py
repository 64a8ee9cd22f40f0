"""The moment by which all the models that one question needs must have answered.

They are called in several places, far below whoever answers the question: to put a follow-up into words, to embed, to
rerank, to answer. Each call has a limit of its own; this is the limit of their sum.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from typing import TypeVar

Part = TypeVar("Part")

_until: ContextVar[float] = ContextVar("ragsite.deadline", default=math.inf)


def after(seconds: float) -> float:
    """The moment in so many seconds, of the monotonic clock."""
    return time.monotonic() + seconds


def left(seconds: float) -> float:
    """So many seconds, or those until the deadline where they are fewer; 0 once it is over."""
    return max(0.0, min(seconds, _until.get() - time.monotonic()))


def is_over() -> bool:
    return _until.get() <= time.monotonic()


@contextmanager
def until(moment: float) -> Iterator[None]:
    """What runs in the block asks models no longer than that, nor than a deadline around it allows."""
    token = _until.set(min(moment, _until.get()))
    try:
        yield
    finally:
        _until.reset(token)


def steps_until(moment: float, parts: Generator[Part, None, None]) -> Generator[Part, None, None]:
    """The parts, each made in time. Between two of them the thread is its reader's, which has no such deadline."""
    with closing(parts):
        while True:
            with until(moment):
                part = next(parts, None)
            if part is None:
                return
            yield part
