"""How a thread waits for what takes long: a model, or another request's answer.

Meanwhile it holds no connection to Postgres and no slot to compute, and looks twice a second whether its client
is still there. So threads that wait cost next to nothing, and there may be hundreds.
"""

from concurrent.futures import Future
from time import monotonic, sleep
from typing import TypeVar

from ragsite.lib import postgres
from ragsite.lib.concurrency import computing, presence

T = TypeVar("T")

LOOK_SECONDS = 0.5  # a client that left is noticed within it


def result(future: Future[T], seconds: float) -> T:
    """The future's result, or what it raises; TimeoutError when it takes longer, ClientLeft when nobody waits for it.

    The client is looked at only after a while: closing the call of a client that left comes this way too, and is quick.
    """
    postgres.give_back()
    until = monotonic() + seconds
    with computing.given_back():
        while True:
            try:
                return future.result(max(0.0, min(LOOK_SECONDS, until - monotonic())))
            except TimeoutError:
                # What ran out may also have been the time of the work itself.
                if future.done() or monotonic() >= until:
                    raise
            presence.look()


def pause(seconds: float) -> None:
    """Sleeps between two looks at something; raises ClientLeft when the client no longer waits for it."""
    presence.check()
    postgres.give_back()
    until = monotonic() + seconds
    with computing.given_back():
        while (left := until - monotonic()) > 0:
            sleep(min(LOOK_SECONDS, left))
            presence.look()
