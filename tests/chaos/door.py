"""One process's threads at a bucket: what `storm.together` starts. It runs where Django is set up."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from unittest.mock import patch

from django.db import connection

from apikeys import admission
from apikeys.admission import Admission, Lookup
from ragsite.lib import redis_client
from tests.chaos.storm import PAUSE_SECONDS, Plan, Round


def carry_out(plan: Plan) -> list[Round]:
    with ThreadPoolExecutor(plan.threads) as pool:
        return [_round(pool, plan, turn) for turn in range(len(plan.digests))]


def _round(pool: ThreadPoolExecutor, plan: Plan, turn: int) -> Round:
    digest, begin = plan.digests[turn], plan.begin(turn)

    def one(_: int) -> list[tuple[float, float, bool]]:
        answers = []
        while (sent := time.time()) < begin + plan.seconds:
            let_in = _admitted(digest).admitted
            answers.append((sent, time.time(), let_in))
            time.sleep(PAUSE_SECONDS)
        return answers

    time.sleep(max(0.0, begin - 1 - time.time()))
    # Now the key is known; its bucket is full again when the round begins.
    key_id = _admitted(digest).caller.key_id
    time.sleep(max(0.0, begin - time.time()))
    with _without_redis() as locally:
        answers = [answer for each in pool.map(one, range(plan.threads)) for answer in each]
    last = float(redis_client.client().hget(f"bucket:{key_id}", "at") or 0) / 1000
    sent, answered, let_in = zip(*answers, strict=True)
    return Round(len(answers), sum(let_in), sum(locally), min(sent), min(answered), last)


@contextmanager
def _without_redis() -> Iterator[list[bool]]:
    """Whether each request was let in that was decided by this process alone, because Redis did not answer in time."""
    decide = admission._without_redis
    decided: list[bool] = []

    def noted(key_hash: str, lookup: Lookup) -> Admission | None:
        found = decide(key_hash, lookup)
        decided.append(found is not None and found.admitted)
        return found

    with patch.object(admission, "_without_redis", noted):
        yield decided


def _admitted(digest: str) -> Admission:
    found = admission.admit(digest, Lookup(address="127.0.0.1"))
    connection.close()  # a thread outside a request would keep what it took from the pool
    assert found is not None
    return found


def main() -> None:
    print(json.dumps([asdict(seen) for seen in carry_out(Plan(**json.loads(sys.argv[1])))]))
