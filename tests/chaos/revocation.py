"""Keys that are ended under load: how soon nobody is served with them, and that a rotation is not felt at all."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

from tests.chaos.people import GENEROUS, Business, Operator
from tests.chaos.report import Report, on_its_own_site
from tests.chaos.traffic import Answer, Client, paced, statuses, warm_up
from tests.site import Site

PER_SECOND = 50
CONNECTIONS = 4  # of each key, which shares its load between them
ALLOWED_SECONDS = 1.0
AFTER_SECONDS = 1.2  # a little longer than what is allowed, so that what comes later is seen
OVERLAP_SECONDS = 3

_LOAD, _SERVED, _REFUSED = "requests", 200, 401


def whole() -> Report:
    return on_its_own_site(lambda up: by_business(up, times=200, side_by_side=3))


def whole_by_operator() -> Report:
    return on_its_own_site(lambda up: by_operator(up, times=10))


def whole_rotation() -> Report:
    return on_its_own_site(lambda up: rotation(up, times=60, side_by_side=3))


# Revocation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """One key's end: when its end was asked for and answered, and every request that was made with it."""

    asked: float
    answered: float
    answers: list[Answer]

    @property
    def served(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status == _SERVED]

    @property
    def last_begun(self) -> float:
        """Seconds from the answer to the revocation until the last request began that was served; or before it: < 0."""
        return max(answer.sent for answer in self.served) - self.answered

    @property
    def last_given(self) -> float:
        """The same until the last answer was given."""
        return max(answer.received for answer in self.served) - self.answered

    def fault(self) -> str | None:
        seen = statuses(self.answers)
        if not self.served or min(answer.sent for answer in self.served) > self.asked:
            return f"the key did not work before its end: {seen}"
        if set(seen) != {_SERVED, _REFUSED}:
            return f"answers other than 200 and 401, or no 401: {seen}"
        # By when it began: how long an answer is under way is the machine's affair, and is told beside it.
        if self.last_begun > ALLOWED_SECONDS:
            return f"still served {self.last_begun:.3f} s after the revocation was answered"
        return None


def by_business(up: Site, *, times: int, side_by_side: int) -> Report:
    """Keys revoked over the API."""
    business = Business(up)
    warm_up(up, business.mint()[1])

    def one(_: int) -> End:
        key_id, raw = business.mint(**GENEROUS)
        return _under_load(up, raw, end=lambda: business.revoke(key_id))

    with ThreadPoolExecutor(side_by_side) as pool:
        return _report(list(pool.map(one, range(times))), how="API")


def by_operator(up: Site, *, times: int) -> Report:
    """Keys revoked by the admin's action, and keys whose tenant is made inactive, in turn."""
    business, operator = Business(up), Operator(up)
    warm_up(up, business.mint()[1])
    ends = []
    for turn in range(times):
        key_id, raw = business.mint(**GENEROUS)
        if turn % 2:
            ends.append(_under_load(up, raw, end=lambda key_id=key_id: operator.revoke(key_id)))  # type: ignore[misc]
        else:
            ends.append(_under_load(up, raw, end=lambda: operator.open_tenant(active=False)))
            operator.open_tenant(active=True)
    return _report(ends, how="admin action, tenant made inactive")


def _under_load(up: Site, raw: str, *, end: Callable[[], None]) -> End:
    stop = Event()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        streams = [pool.submit(_stream, up, lambda: raw, stop.is_set) for _ in range(CONNECTIONS)]
        try:
            time.sleep(random.uniform(0.2, 0.4))
            asked = time.time()
            end()
            answered = time.time()
            time.sleep(AFTER_SECONDS)
        finally:
            stop.set()
        return End(asked, answered, [answer for stream in streams for answer in stream.result()])


def _stream(up: Site, key: Callable[[], str], stopped: Callable[[], bool]) -> list[Answer]:
    client = Client(up)
    try:
        return paced(client, key, per_second=PER_SECOND / CONNECTIONS, stopped=stopped)
    finally:
        client.close()


def _report(ends: list[End], *, how: str) -> Report:
    answers = [answer for end in ends for answer in end.answers]
    late = sum(answer.sent > end.answered for end in ends for answer in end.served)
    seconds = sum(end.answers[-1].received - end.answers[0].sent for end in ends)
    return Report(
        asked={"times": len(ends), "per_second": PER_SECOND, "within_ms": ALLOWED_SECONDS * 1000, "how": how},
        seen={
            _LOAD: len(answers),
            "per_second": round(len(answers) / seconds, 1),
            "statuses": statuses(answers),
            "last_begun_ms": _ms(max(end.last_begun for end in ends)),
            "last_given_ms": _ms(max(end.last_given for end in ends)),
            "served_though_begun_after": late,
            "revoking_ms": _ms(max(end.answered - end.asked for end in ends)),
        },
        faults=[fault for fault in (end.fault() for end in ends) if fault],
    )


# Rotation ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One rotation: what clients were told that change over in the overlap, and each key's answer after it.

    `end`: the overlap's, by the old key's expiry. A machine so slow that the successor comes after it refuses the
    old key rightly.
    """

    successor: str = field(repr=False)
    answers: list[Answer]
    end: float
    old_after: int
    new_after: int

    @property
    def failed(self) -> list[Answer]:
        due = [
            answer for answer in self.answers if answer.raw == self.successor or answer.received < self.end
        ]
        return [answer for answer in due if answer.status != _SERVED]

    def fault(self) -> str | None:
        if self.failed:
            return f"clients that changed over in time were told {statuses(self.failed)}"
        if (self.old_after, self.new_after) != (_REFUSED, _SERVED):
            return f"after the overlap the old key got {self.old_after} and the new one {self.new_after}"
        return None


def rotation(up: Site, *, times: int, side_by_side: int) -> Report:
    """Each connection changes to the successor at a moment of its own, drawn from the whole overlap."""
    business = Business(up)
    with ThreadPoolExecutor(side_by_side) as pool:
        changes = list(pool.map(lambda _: _rotated(up, business), range(times)))
    answers = [answer for change in changes for answer in change.answers]
    return Report(
        asked={"times": times, "per_second": PER_SECOND, "overlap_s": OVERLAP_SECONDS},
        seen={
            _LOAD: len(answers),
            "statuses": statuses(answers),
            "failed": sum(len(change.failed) for change in changes),
            "old_key_after": sorted({change.old_after for change in changes}),
            "new_key_after": sorted({change.new_after for change in changes}),
        },
        faults=[fault for fault in (change.fault() for change in changes) if fault],
    )


def _rotated(up: Site, business: Business) -> Change:
    key_id, raw = business.mint(**GENEROUS)
    stop = Event()
    keys = [[raw] for _ in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        streams = [pool.submit(_stream, up, lambda held=held: held[-1], stop.is_set) for held in keys]  # type: ignore[misc]
        try:
            time.sleep(0.2)
            _, successor = business.rotate(key_id, overlap_seconds=OVERLAP_SECONDS)
            end = business.expiry(key_id)
            _change_over(keys, successor, until=end)
        finally:
            stop.set()
        answers = [answer for stream in streams for answer in stream.result()]
    return Change(successor, answers, end, *_after(up, raw, successor))


def _change_over(keys: list[list[str]], successor: str, *, until: float) -> None:
    """One after the other at random moments; the last is early enough for a request that is under way."""
    now = time.time()
    moments = sorted(random.uniform(now, max(now, until - 0.15)) for _ in keys)
    for moment, held in zip(moments, keys, strict=True):
        time.sleep(max(0.0, moment - time.time()))
        held.append(successor)
    time.sleep(max(0.0, until + 0.3 - time.time()))


def _after(up: Site, old: str, new: str) -> tuple[int, int]:
    client = Client(up)
    try:
        return client.ask(old).status, client.ask(new).status
    finally:
        client.close()


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
