"""What Redis missed while it was away follows as soon as it is back, in order."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from django.db import transaction
from redis import Redis

from accounts import corpus
from apikeys import keys
from ragsite.lib import announcements, redis_client
from tests.apikeys.admitting import admit, refused
from tests.makers import Party
from tests.outages import redis_of_its_own
from tests.site import wait_for


def tell(number: int, client: Redis) -> None:
    client.rpush("news", number)


@pytest.mark.django_db(transaction=True)
def test_a_key_that_was_revoked_during_an_outage_does_not_come_alive_again(
    ours: Party, tmp_path: Path
) -> None:
    with redis_of_its_own(tmp_path) as process:
        assert admit(ours.raw).admitted  # Redis has a copy now
        os.kill(process.pid, signal.SIGSTOP)
        for _ in range(4):  # or the command would wait in a connection that is still open
            admit(ours.raw)
        keys.revoke(ours.key)
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(1)
        assert redis_client.client().get(f"key:{ours.key.key_hash}") == b""
        assert refused(ours.raw)


@pytest.mark.django_db(transaction=True)
def test_a_corpus_that_changed_during_an_outage_is_not_answered_from_its_old_cache(
    ours: Party, tmp_path: Path
) -> None:
    with redis_of_its_own(tmp_path) as process:
        before = corpus.version(ours.tenant.pk)
        assert before is not None
        os.kill(process.pid, signal.SIGSTOP)
        with transaction.atomic():
            corpus.changed(ours.tenant.pk)
        os.kill(process.pid, signal.SIGCONT)
        name = f"corpus:{ours.tenant.pk}"
        wait_for(lambda: redis_client.client().hget(name, "version") == str(before + 1).encode(), seconds=5)


def test_news_arrives_in_order_and_never_makes_anyone_wait(tmp_path: Path) -> None:
    with redis_of_its_own(tmp_path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        for number in range(20):
            announcements.announce(partial(tell, number))
        assert time.monotonic() - began < 1
        os.kill(process.pid, signal.SIGCONT)
        redis = redis_client.client()
        wait_for(lambda: redis.lindex("news", -1) == b"19", seconds=5)
        heard = [int(number) for number in redis.lrange("news", 0, -1)]
        assert list(dict.fromkeys(heard)) == list(range(20))
