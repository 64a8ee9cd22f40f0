"""Whether a limit lets through what it permits, no more and no less.

What is permitted: the burst, and the rate times what passed from the first request to the last, by Redis's own
clock, which stands in the bucket. Whole requests alone can be let in, so a permission of 9.7 is one of 9.
"""

import math
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

from redis import Redis

from ragsite import embedded
from tests.chaos import storm
from tests.chaos.headers import Limit
from tests.chaos.people import Business
from tests.chaos.report import Report, on_its_own_site
from tests.chaos.storm import BURST, PER_MINUTE, Plan, Round
from tests.chaos.traffic import Answer, Client, paced, statuses, to_each_worker, warm_up
from tests.site import Site

KEYS, TIMES_ITS_RATE = 10, 4
TOLERANCE = 0.01
RATES = [60 + 6 * number for number in range(KEYS)]
PROCESSES = 2
FIRST = 4
_ADMITTED = 200


def whole_exact() -> Report:
    return on_its_own_site(lambda up: exact(up, seconds=30))


def whole_storm() -> Report:
    return on_its_own_site(lambda up: storm_at_the_door(up, rounds=20, seconds=10))


def whole_storm_over_http() -> Report:
    return on_its_own_site(lambda up: storm_over_http(up, rounds=5, seconds=10))


# The account of a bucket -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bucket:
    """A bucket as it stands in Redis: when it was last asked, in milliseconds, and what is left in it."""

    at: float
    tokens: float


@dataclass(frozen=True)
class Account:
    """What a key was asked and let in for, and its bucket after the first `spent` requests and after the last.

    The first look comes after a few, so that the bucket is not full again when the others begin: what a full one
    gains is lost. Until then it had `spent` and what is in it.
    """

    limit: Limit
    spent: int
    first: Bucket
    last: Bucket
    asked: int
    admitted: int

    @property
    def permitted(self) -> float:
        return self.spent + self.first.tokens + self.limit.rate * (self.last.at - self.first.at) / 60_000

    @property
    def is_pressed(self) -> bool:
        """Whether it was asked for more than it had, to the end; if not, it need not have had all of it."""
        return self.asked > self.admitted and self.last.tokens < 1

    @property
    def ratio(self) -> float:
        return self.admitted / math.floor(self.permitted)

    @property
    def unaccounted(self) -> float:
        """Tokens that were neither handed out nor are left; below zero: handed out though there were none."""
        return self.permitted - self.admitted - self.last.tokens

    def fault(self) -> str | None:
        # So a slow machine counts by what it sent; what it let in too many counts on any.
        is_low = self.is_pressed and (self.ratio < 1 - TOLERANCE or self.unaccounted > 0.01)
        if not is_low and self.ratio <= 1 + TOLERANCE and self.unaccounted > -0.01:
            return None
        return (
            f"{self.admitted} admitted, {self.permitted:.2f} permitted, {self.unaccounted:+.3f} unaccounted"
        )


def bucket(up: Site, key_id: str) -> Bucket:
    with Redis.from_url(embedded.redis_url(up.data_dir)) as client:
        at, tokens = client.hmget(f"bucket:{key_id}", "at", "tokens")
    return Bucket(float(at), float(tokens))


# Many keys, each asked for more than it has ------------------------------------------------------------------


def exact(up: Site, *, seconds: float) -> Report:
    """Each key over one connection to each web process, at four times its rate."""
    business = Business(up)
    connections = to_each_worker(up, count=KEYS)
    warm_up(up, business.mint()[1])
    with ThreadPoolExecutor(KEYS) as pool:
        jobs = [
            pool.submit(_one_key, up, business, limit=limit, clients=clients, seconds=seconds)
            for limit, clients in zip(_limits(seconds), connections, strict=True)
        ]
        taken = [job.result() for job in jobs]
    accounts = [account for account, _ in taken]
    answers = [answer for _, each in taken for answer in each]
    wrong = [fault for (account, each) in taken for fault in account.limit.faults(each)]
    slow = (
        [] if any(account.is_pressed for account in accounts) else ["no key was asked for more than it has"]
    )
    return Report(
        asked={
            "keys": KEYS,
            "times_its_rate": TIMES_ITS_RATE,
            "seconds": seconds,
            "workers": len(connections[0]),
        },
        seen={
            "requests": len(answers),
            "statuses": statuses(answers),
            "asked": [account.asked for account in accounts],
            "admitted": [account.admitted for account in accounts],
            "permitted": [round(account.permitted, 2) for account in accounts],
            "spent": sum(account.is_pressed for account in accounts),
            "ratios": [round(account.ratio, 4) for account in accounts],
            "most_unaccounted": round(max(abs(account.unaccounted) for account in accounts), 6),
            "wrong_headers": len(wrong),
        },
        faults=[fault for account in accounts if (fault := account.fault())] + wrong + slow,
    )


def _limits(seconds: float) -> list[Limit]:
    """A burst of what the rate gives in the whole time: spent in the first third of it, at four times the rate."""
    return [Limit(rate=rate, burst=max(FIRST + 1, round(rate / 60 * seconds))) for rate in RATES]


def _one_key(
    up: Site, business: Business, *, limit: Limit, clients: Sequence[Client], seconds: float
) -> tuple[Account, list[Answer]]:
    key_id, raw = business.mint(rate_limit=limit.rate, burst=limit.burst)
    answers = [clients[0].ask(raw) for _ in range(FIRST)]
    first = bucket(up, key_id)
    each = limit.rate / 60 * TIMES_ITS_RATE / len(clients)
    until = time.time() + seconds

    def stream(client: Client) -> list[Answer]:
        return paced(client, lambda: raw, per_second=each, stopped=lambda: time.time() > until)

    with ThreadPoolExecutor(len(clients)) as pool:
        for more in pool.map(stream, clients):
            answers += more
    return _account(up, key_id, limit=limit, first=first, answers=answers), answers


def _account(up: Site, key_id: str, *, limit: Limit, first: Bucket, answers: Sequence[Answer]) -> Account:
    admitted = sum(answer.status == _ADMITTED for answer in answers)
    return Account(limit, FIRST, first, bucket(up, key_id), len(answers), admitted)


# Many threads at one key -------------------------------------------------------------------------------------


def storm_at_the_door(up: Site, *, rounds: int, seconds: float) -> Report:
    """64 threads of two processes call what a request calls, for as long as a round lasts by the clock."""
    business = Business(up)
    made = [business.mint(rate_limit=PER_MINUTE, burst=BURST) for _ in range(rounds)]
    digests = [sha256(raw.encode()).hexdigest() for _, raw in made]
    plan = Plan(digests, storm.THREADS, time.time() + 10, seconds)  # by then both processes are up
    seen = storm.together(plan, processes=PROCESSES, environment=up.environment)
    return storm_report(seen, plan=plan)


def storm_report(rounds: Sequence[Round], *, plan: Plan) -> Report:
    return Report(
        asked={"threads": storm.THREADS, "rounds": len(rounds), "seconds": plan.seconds},
        seen={
            "requests": sum(each.asked for each in rounds),
            "admitted": [each.admitted for each in rounds],
            "without_redis": [each.without_redis for each in rounds],
            "permitted": [[round(bound, 2) for bound in each.permitted] for each in rounds],
        },
        faults=[fault for each in rounds if (fault := each.fault())],
    )


def storm_over_http(up: Site, *, rounds: int, seconds: float) -> Report:
    """64 connections, each asking a few times a second: what the web processes can answer, and some 20 times the limit."""
    business = Business(up)
    warm_up(up, business.mint()[1])
    clients = [client for each in to_each_worker(up, count=storm.THREADS // 2) for client in each]
    accounts = [_one_storm(up, business, clients, seconds=seconds) for _ in range(rounds)]
    return Report(
        asked={"threads": len(clients), "rounds": rounds, "seconds": seconds, "workers": 2},
        seen={
            "asked": [account.asked for account in accounts],
            "admitted": [account.admitted for account in accounts],
            "permitted": [round(account.permitted, 2) for account in accounts],
            "most_unaccounted": round(max(abs(account.unaccounted) for account in accounts), 6),
        },
        faults=[fault for account in accounts if (fault := account.fault())],
    )


def _one_storm(up: Site, business: Business, clients: Sequence[Client], *, seconds: float) -> Account:
    limit = Limit(rate=PER_MINUTE, burst=BURST)
    key_id, raw = business.mint(rate_limit=limit.rate, burst=limit.burst)
    answers = [clients[0].ask(raw) for _ in range(FIRST)]
    first = bucket(up, key_id)
    until = time.time() + seconds

    def stream(client: Client) -> list[Answer]:
        time.sleep(random.uniform(0, 0.3))
        return paced(client, lambda: raw, per_second=4, stopped=lambda: time.time() > until)

    with ThreadPoolExecutor(len(clients)) as pool:
        answers += [answer for each in pool.map(stream, clients) for answer in each]
    return _account(up, key_id, limit=limit, first=first, answers=answers)
