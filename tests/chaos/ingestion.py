"""Whether what was uploaded is there once, and all of it, whatever is killed while it comes in.

Each case uploads at a steady rate, breaks something meanwhile, waits until nothing is in work any more, and asks `ingested`.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil
import psycopg

from tests import site
from tests.chaos import ingested, poison
from tests.chaos.books import is_up
from tests.chaos.ingested import Expected
from tests.chaos.records import processes_of
from tests.chaos.report import Report
from tests.chaos.stage import Stage, count, settle, stage
from tests.chaos.uploading import File, files, uploading

SEED = 20261121
BATCH = 256  # chunks that are embedded before their vectors are kept: what a kill may cost at most
FRESH_SECONDS = 30.0  # in which an upload is ready after Redis was restarted, a worker's start included


def whole_worker() -> Report:
    return _whole(lambda on: workers(on, uploads=200, kills=20))


def whole_web() -> Report:
    return _whole(lambda on: web(on, kills=100))


def whole_redis() -> Report:
    return _whole(lambda on: redis(on, uploads=200, kills=10, losses=3))


def whole_redis_restarts() -> Report:
    return _whole(lambda on: redis_restarts(on, uploads=200, restarts=20))


def whole_postgres() -> Report:
    return _whole(lambda on: postgres(on, uploads=200, kills=10))


def whole_poison() -> Report:
    return _whole(lambda on: poisoned(on, uploads=200, poison_files=10))


def _whole(case: Callable[[Stage], Report]) -> Report:
    with stage() as on:
        return case(on)


# The cases -----------------------------------------------------------------------------------------------------


def workers(on: Stage, *, uploads: int, kills: int) -> Report:
    """Of the three nodes, a parent or a child at random."""

    def trouble(chance: random.Random) -> dict[str, Any]:
        hits = Counter[str]()
        while hits.total() < kills:
            time.sleep(chance.uniform(1.0, 3.0))
            wanted = chance.choice((True, False))
            if found := [one for one in processes_of(on.up, "worker") if _is_child(one) == wanted]:
                hits[_kill(chance.choice(found))] += 1
        return {"killed": dict(hits)}

    report = _through(on, files(uploads, seed="worker"), trouble, seconds=kills * 2.0)
    most = BATCH * kills
    repeated = report.seen["chunks repeated"]
    late = [] if repeated < most else [f"{repeated} chunks were embedded again after {kills} kills"]
    per_kill = round(repeated / kills, 1)
    return Report(
        {"uploads": uploads, "kills": kills},
        dict(report.seen) | {"chunks repeated a kill": per_kill},
        [*report.faults, *late],
    )


def web(on: Stage, *, kills: int) -> Report:
    """Killed between commit and publish; nobody was answered, and what was committed is processed all the same."""
    before = count(on)
    argv = [sys.executable, "-m", "tests.chaos.orphans", on.keys[0], str(kills), "orphan"]
    environment = on.up.environment | {"DJANGO_SETTINGS_MODULE": "ragsite.settings"}
    told = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    ends = json.loads(told.stdout) if not told.returncode else []
    seconds = settle(on)
    report = _report(on, {"uploads": kills}, {"killed": Counter(ends)[9], "seconds to the last end": seconds})
    faults = [] if ends == [9] * kills else [f"{ends} ended the uploads: {told.stderr[-500:]}"]
    if count(on) - before != kills:
        faults.append(f"{count(on) - before} documents of {kills}")
    return Report(report.asked, report.seen, [*report.faults, *faults])


def redis(on: Stage, *, uploads: int, kills: int, losses: int) -> Report:
    """Killed, and started again a moment later; as often as `losses` says, without what it had."""

    def trouble(chance: random.Random) -> dict[str, Any]:
        lossy = set(chance.sample(range(kills), losses))
        for number in range(kills):
            time.sleep(chance.uniform(0.5, 2.0))
            if number in lossy:
                on.redis.lose_everything()
            on.redis.kill()
            time.sleep(chance.uniform(0.1, 1.0))
            on.redis.start()
        return {"killed": kills, "without its data": losses}

    return _through(on, files(uploads, seed="redis"), trouble, seconds=kills * 2.0)


def redis_restarts(on: Stage, *, uploads: int, restarts: int) -> Report:
    """After each, an upload is soon ready; the last one leaves the workers connected, and deaf."""
    waited: list[float] = []
    ends = on.watchdog_ends()

    def trouble(chance: random.Random) -> dict[str, Any]:
        for number in range(restarts):
            time.sleep(chance.uniform(0.1, 1.0))
            on.redis.restart()
            if number == restarts - 1:
                _deafen(on)
            waited.append(_fresh(on, number))
        acted = on.watchdog_ends() - ends
        return {"restarts": restarts, "slowest fresh s": max(waited), "watchdog": acted}

    report = _through(on, files(uploads, seed="restart"), trouble, seconds=restarts * 1.5)
    late = [f"a fresh upload took {seconds} s" for seconds in waited if seconds > FRESH_SECONDS]
    return Report(report.asked, report.seen, [*report.faults, *late])


def postgres(on: Stage, *, uploads: int, kills: int) -> Report:
    """The whole of it, or one of its processes, which ends them all."""

    def trouble(chance: random.Random) -> dict[str, Any]:
        for _ in range(kills):
            site.wait_for(lambda: is_up(on.database))
            time.sleep(chance.uniform(0.5, 2.0))
            _kill(chance.choice(processes_of(on.up, "postgres")))
        site.wait_for(lambda: is_up(on.database))
        return {"killed": kills}

    return _through(on, files(uploads, seed="postgres"), trouble, seconds=kills * 2.0)


def poisoned(on: Stage, *, uploads: int, poison_files: int) -> Report:
    """Files that take a parser's memory or its time, or kill the worker itself, among good ones."""
    chance = random.Random(SEED)
    mixed = [*files(uploads - poison_files, seed="good"), *poison.files(poison_files)]
    chance.shuffle(mixed)
    report = _through(on, mixed, lambda _: {"poison": poison_files}, seconds=uploads / 20)
    with psycopg.connect(on.database) as connection:
        [(most,)] = connection.execute(
            "SELECT coalesce(max(attempts), 0) FROM documents_document WHERE filename LIKE 'good-%'"
        ).fetchall()
    # Begun in one batch with a file that ended its worker, and alone from then on.
    charged = [f"a good file was charged {most} attempts"] if most > 2 else []
    return Report(
        report.asked, dict(report.seen) | {"most attempts of a good file": most}, [*report.faults, *charged]
    )


# What they share -----------------------------------------------------------------------------------------------


def _through(
    on: Stage,
    sent: Sequence[File],
    trouble: Callable[[random.Random], dict[str, Any]],
    *,
    seconds: float,
) -> Report:
    """Uploads in so many seconds, with trouble meanwhile."""
    on.forget()
    with uploading(on.up, sent, raw_keys=on.keys, seconds=seconds) as told:
        seen = trouble(random.Random(SEED))
    on.all.ids.extend(told.ids)
    on.all.poison.extend(told.poison)
    last = settle(on)
    texts = on.embedded()
    more = {
        "tries in vain": told.refused,
        "seconds to the last end": last,
        "chunks": len(texts),
        "chunks repeated": texts.total() - len(texts),
    }
    return _report(on, {"uploads": len(sent)}, seen | more)


def _report(on: Stage, asked: Mapping[str, Any], seen: Mapping[str, Any]) -> Report:
    expected = Expected(on.all.ids, on.all.poison, poison.CODES)
    with psycopg.connect(on.database) as connection:
        rows = connection.execute("SELECT attempts, count(*) FROM documents_document GROUP BY 1 ORDER BY 1")
        attempts = {str(attempts): count for attempts, count in rows.fetchall()}
    return Report(
        asked=asked,
        seen=dict(seen) | {"documents by attempts": attempts},
        faults=ingested.of_site(on.up.data_dir, expected),
    )


def _deafen(on: Stage) -> None:
    """The workers stop consuming, as Celery's have been seen to after their connection was lost."""
    for queue in ("default", "low"):
        argv = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "ragsite",
            "control",
            "--timeout",
            "2",
            "cancel_consumer",
            queue,
        ]

        def told(argv: Sequence[str] = argv) -> bool:
            """Not while they are still making their connections anew."""
            return (
                subprocess.run(argv, env=on.up.environment, capture_output=True, check=False).returncode == 0
            )

        site.wait_for(told)


def _fresh(on: Stage, number: int) -> float:
    """Seconds until an upload is ready."""
    began = time.monotonic()
    sent = [File(f"fresh-{number}.txt", f"Fresh upload {number} of {began}.".encode())]
    with uploading(on.up, sent, raw_keys=on.keys[:1], seconds=0) as told:
        pass
    with on.up.client() as client:
        client.headers["X-API-Key"] = on.keys[0]
        with suppress(AssertionError):  # it is late, and told so
            site.finished(client, str(told.ids[0]), seconds=min(60.0, FRESH_SECONDS + on.patience))
    on.all.ids.extend(told.ids)
    return round(time.monotonic() - began, 1)


def _is_child(process: psutil.Process) -> bool:
    """Whether it was forked by one of its kind."""
    with suppress(psutil.NoSuchProcess):
        parent = process.parent()
        return bool(parent and parent.cmdline() == process.cmdline())
    return False


def _kill(process: psutil.Process) -> str:
    """What was killed."""
    with suppress(psutil.NoSuchProcess):
        words, kind = process.cmdline(), "child" if _is_child(process) else "parent"
        process.kill()
        name = words[words.index("-n") + 1].split("@")[0] if "-n" in words else words[0]
        return f"{name} {kind}"
    return "nothing"
