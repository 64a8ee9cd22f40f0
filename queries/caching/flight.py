"""One call to the model for all who ask the same at once, in whichever process.

Whoever finds no answer and nobody who makes it takes the lease of its name, and leads. The others wait, and look a few
times a second: for the answer, for the leader's error, or for a lease that nobody holds any more, which one of them
takes. So a leader that is killed, or whose client leaves, costs one more call and no more. Without Redis, and after
waiting for as long as an answer may take, each asks alone.

An error of the model's is told to all who wait: asked once more by each of them, what is failing would be asked by
hundreds. Any other failure is the leader's own, such as a spent budget, and one of the others leads.
"""

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from hashlib import sha1
from typing import Any
from uuid import UUID

from django.conf import settings
from redis import Redis

from queries.answers import Answer
from queries.caching import cache
from queries.caching.cache import Name
from queries.caching.seals import Kept, seal, unseal
from queries.generating import generation
from ragsite.lib import redis_client
from ragsite.lib.concurrency import leases, rooms, waiting
from ragsite.lib.concurrency.leases import Lease
from ragsite.lib.errors import AppError, ModelFailed, ModelRefused, ModelTimeout, Unavailable

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 0.2
# What an answer may take besides the model's time: a leader that is alive has told what came of it before that is over.
SLACK_SECONDS = 5.0
FALLBACK_SECONDS = 2  # in which all who wait have looked

_TOLD = {error.__name__: error for error in (ModelFailed, ModelRefused, ModelTimeout, Unavailable)}

# Looks for what is there of an answer, and takes the lease where nothing is: in one step, so that nobody begins to make
# what was just made. KEYS: the answer, the lease, the outcome of the flight that is waited for.
# ARGV: a token, milliseconds to live, the digest of an answer that is none.
# Returns {'landed', answer or outcome}, {'flying', token of who leads} or {'leading'}.
_BOARD = redis_client.Script("""
local answer = redis.call('GET', KEYS[1])
if answer and redis.sha1hex(answer) ~= ARGV[3] then return {'landed', answer} end
local left = redis.call('GET', KEYS[3])
if left and redis.sha1hex(left) ~= ARGV[3] then return {'landed', left} end
local leading = redis.call('GET', KEYS[2])
if leading then return {'flying', leading} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'leading'}
""")
# KEYS: the lease, the outcome. ARGV: the token, the outcome, milliseconds to leave it there.
_FAIL = redis_client.Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
""")


class Seat:
    """Whoever has it makes the answer: for all who wait, or without a lease for itself alone."""

    def __init__(self, name: Name | None = None, lease: Lease | None = None) -> None:
        self._name = name
        self._lease = lease  # None again once it was given back

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Around what makes the answer, or a part of it: who waits for it learns at once that it failed."""
        with ExitStack() as failing:
            failing.callback(self.leave)
            try:
                yield
            except AppError as error:
                self._fail(error)
                raise
            failing.pop_all()

    def land(self, made: Answer) -> None:
        """The answer is made; it goes into the cache, and to those who wait."""
        if self._name is not None:
            # What stands in for a model's answer is for those who wait: the model may be back the next moment.
            seconds = FALLBACK_SECONDS if made.generated.fallback else None
            cache.keep(
                self._name,
                cache.limits(made.tenant),
                query_id=made.query_id,
                body=made.body,
                lease=self._given_back(),
                seconds=seconds,
            )

    def leave(self) -> None:
        """Without an answer; after it, this does nothing. One of those who wait takes the lease."""
        lease = self._given_back()
        if lease is not None:
            leases.release(lease)

    def _fail(self, error: AppError) -> None:
        if self._name is None or self._lease is None or not _is_told(error):
            return
        place, token = cache.outcome(self._name, self._lease.token), self._lease.token
        told = [type(error).__name__, error.detail, error.error_code, error.headers]
        value = seal(place, UUID(token), json.dumps(told).encode())
        names, left = [self._lease.name, place], cache.OUTCOME_SECONDS * 1000
        redis_client.attempted(lambda client: _FAIL(client, keys=names, arguments=[token, value, left]))

    def _given_back(self) -> Lease | None:
        lease, self._lease = self._lease, None
        if lease is not None:
            leases.drop(lease)
        return lease


def _is_told(error: AppError) -> bool:
    """Whether it is the model's, and no want of room where this one asked."""
    return type(error).__name__ in _TOLD and error.error_code != "too_many_waiting"


ALONE = Seat()  # nobody can wait for it, so that all may share it


def board(name: Name) -> Seat | Kept:
    """A seat for whoever is to make this answer; or the answer, waited for until its leader has made it.

    Raises what the model's failure was to the leader. While it waits it holds no connection to Postgres.
    """
    return _Passenger(name).board()


class _Passenger:
    """Somebody who wants an answer that may be in the making."""

    def __init__(self, name: Name) -> None:
        self._name = name
        self._own = leases.lease(f"flight:{name}")
        self._followed = ""  # the token of who leads
        self._no_answer = ""
        self._patience = 0.0  # until when Redis is waited for
        self._deadline = time.monotonic() + settings.ANSWER_TIMEOUT_SECONDS + SLACK_SECONDS

    def board(self) -> Seat | Kept:
        seen = self._seen()
        return seen if seen is not None else self._waited()

    def _waited(self) -> Seat | Kept:
        # Who waits for a leader that asks a model holds a thread as long as the leader does, and is counted like it.
        by_model = generation.is_by_model()
        with rooms.room(self._name.tenant_id) if by_model else nullcontext():
            pause = FIRST_PAUSE_SECONDS
            while time.monotonic() < self._deadline:
                waiting.pause(pause * random.uniform(0.8, 1.2))  # noqa: S311  so that they do not all look at once
                pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)
                seen = self._seen()
                if seen is not None:
                    return seen
        return Seat(self._name)

    def _seen(self) -> Seat | Kept | None:
        """What came of a look; None: to look again. A Redis that only stutters loses no flight."""
        seen: Any = redis_client.attempted(self._look)
        if seen is not None:
            self._patience = time.monotonic() + leases.LEASE_SECONDS
            return self._judged(*seen)
        return None if time.monotonic() < self._patience else Seat(self._name)

    def _look(self, client: Redis) -> Any:
        names = [str(self._name), self._own.name, cache.outcome(self._name, self._followed)]
        return _BOARD(client, keys=names, arguments=[self._own.token, leases.milliseconds(), self._no_answer])

    def _judged(self, what: bytes, value: bytes = b"") -> Seat | Kept | None:
        if what == b"landed":
            return self._read(value)
        # The lease is ours too where the reply to our taking it was lost.
        if what == b"leading" or value == self._own.token.encode():
            leases.hold(self._own, seconds=settings.ANSWER_TIMEOUT_SECONDS + SLACK_SECONDS)
            return Seat(self._name, self._own)
        self._followed = value.decode(errors="replace")
        return None

    def _read(self, value: bytes) -> Kept | None:
        """An answer, or an error that is raised. What is neither was written by nobody of ours, and is not there."""
        kept = unseal(str(self._name), value)
        if kept is None:
            failed = unseal(cache.outcome(self._name, self._followed), value)
            if failed is not None:
                kind, detail, code, headers = json.loads(failed.body)
                raise _TOLD[kind](detail, code=code, headers=headers)
            self._no_answer = sha1(value).hexdigest()  # noqa: S324  as Redis can work it out
        return kept
