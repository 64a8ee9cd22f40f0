"""Makes an answer once for all who ask the same at the same time, in any process ("single flight").

Each answer has a lease in Redis. Who finds neither the answer nor a holder of the lease takes the lease and is the
leader. The others wait and look a few times a second for the answer, for the leader's error, or for a free lease,
which one of them takes. So a leader that is killed, or whose client leaves, costs one more call to the model and no
more. Without Redis, and after waiting as long as an answer may take, each makes the answer alone.

When the model fails, all who wait get the leader's error: if each asked again, hundreds would ask a model that is
failing. Any other failure, such as a spent budget, is the leader's own, and one of the others becomes the leader.
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
# How long an answer may take beyond the model's time. A leader that is alive has succeeded or failed by then.
SLACK_SECONDS = 5.0
FALLBACK_SECONDS = 2  # long enough for all who wait to find it

_SHARED_ERRORS = {error.__name__: error for error in (ModelFailed, ModelRefused, ModelTimeout, Unavailable)}

# Looks for the answer and takes the lease where there is none, in one step: otherwise someone could begin to make an
# answer that has just been made.
# KEYS: the answer, the lease, the outcome that the leader leaves when the answer is not cached.
# ARGV: our token, milliseconds to live, the SHA-1 of a value that was found to be forged and is to be ignored.
# Returns {'landed', answer or outcome}, {'flying', the leader's token} or {'leading'}.
_JOIN = redis_client.Script("""
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


class Leader:
    """Makes the answer: for all who wait, or without a lease for its own request alone."""

    def __init__(self, name: Name | None = None, lease: Lease | None = None) -> None:
        self._name = name
        self._lease = lease  # None again once it was given back

    @contextmanager
    def making(self) -> Iterator[None]:
        """Surrounds the making of the answer, or of a part of it: those who wait learn at once when it fails."""
        with ExitStack() as failing:
            failing.callback(self.give_up)
            try:
                yield
            except AppError as error:
                self._fail(error)
                raise
            failing.pop_all()

    def deliver(self, made: Answer) -> None:
        """Puts the answer into the cache, where those who wait find it."""
        if self._name is not None:
            # A quotation in place of a model's answer is kept only for those who wait: the model may be back any
            # moment.
            seconds = FALLBACK_SECONDS if made.generated.fallback else None
            cache.keep(
                self._name,
                cache.limits(made.tenant),
                query_id=made.query_id,
                body=made.body,
                lease=self._given_back(),
                seconds=seconds,
            )

    def give_up(self) -> None:
        """Frees the lease, for one of those who wait to take; does nothing once the answer is delivered."""
        lease = self._given_back()
        if lease is not None:
            leases.release(lease)

    def _fail(self, error: AppError) -> None:
        if self._name is None or self._lease is None or not _is_shared(error):
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


def _is_shared(error: AppError) -> bool:
    """Whether the model failed; a full process fails with the same class, and is the leader's own failure."""
    return type(error).__name__ in _SHARED_ERRORS and error.error_code != "too_many_waiting"


ALONE = Leader()  # for requests past the cache; it has no state, so that all of them share it


def join(name: Name) -> Leader | Kept:
    """The answer, waited for until its leader has made it; or a `Leader`, when the caller is to make it.

    Raises the leader's error where the model failed. While it waits it holds no connection to Postgres.
    """
    return _Asker(name).join()


class _Asker:
    """A request for an answer that somebody else may be making."""

    def __init__(self, name: Name) -> None:
        self._name = name
        self._own = leases.lease(f"flight:{name}")
        self._followed = ""  # the leader's token
        self._forged = ""  # the SHA-1 of what stands in the answer's place and is none
        self._patience = 0.0  # until when a silent Redis is waited for
        self._deadline = time.monotonic() + settings.ANSWER_TIMEOUT_SECONDS + SLACK_SECONDS

    def join(self) -> Leader | Kept:
        seen = self._seen()
        return seen if seen is not None else self._waited()

    def _waited(self) -> Leader | Kept:
        # Waiting for a model's answer holds a thread as long as asking the model does, and counts as much.
        by_model = generation.is_by_model()
        with rooms.room(self._name.tenant_id) if by_model else nullcontext():
            pause = FIRST_PAUSE_SECONDS
            while time.monotonic() < self._deadline:
                waiting.pause(pause * random.uniform(0.8, 1.2))  # noqa: S311  so that they do not all look at once
                pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)
                seen = self._seen()
                if seen is not None:
                    return seen
        return Leader(self._name)

    def _seen(self) -> Leader | Kept | None:
        """What one look found; None: look again, also while Redis has been silent for less than a lease's time."""
        seen: Any = redis_client.attempted(self._look)
        if seen is not None:
            self._patience = time.monotonic() + leases.LEASE_SECONDS
            return self._judged(*seen)
        return None if time.monotonic() < self._patience else Leader(self._name)

    def _look(self, client: Redis) -> Any:
        names = [str(self._name), self._own.name, cache.outcome(self._name, self._followed)]
        return _JOIN(client, keys=names, arguments=[self._own.token, leases.milliseconds(), self._forged])

    def _judged(self, what: bytes, value: bytes = b"") -> Leader | Kept | None:
        if what == b"landed":
            return self._read(value)
        # We also lead when we took the lease before, and Redis's reply was lost.
        if what == b"leading" or value == self._own.token.encode():
            leases.hold(self._own, seconds=settings.ANSWER_TIMEOUT_SECONDS + SLACK_SECONDS)
            return Leader(self._name, self._own)
        self._followed = value.decode(errors="replace")
        return None

    def _read(self, value: bytes) -> Kept | None:
        """The answer; raises the leader's error. None for a forged value, which is ignored from now on."""
        kept = unseal(str(self._name), value)
        if kept is None:
            failed = unseal(cache.outcome(self._name, self._followed), value)
            if failed is not None:
                kind, detail, code, headers = json.loads(failed.body)
                raise _SHARED_ERRORS[kind](detail, code=code, headers=headers)
            self._forged = sha1(value).hexdigest()  # noqa: S324  as Redis can work it out
        return kept
