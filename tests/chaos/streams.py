"""Streams whose clients leave at random moments: the model's server sees it, it is on record, and nothing stays behind."""

import asyncio
import json
import random
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from ragsite import embedded
from tests import patient_model, site
from tests.chaos import calls
from tests.chaos.people import Business
from tests.chaos.report import Report
from tests.chaos.traffic import Client, carrying, warm_up, web_workers
from tests.patient_model import Call, PatientModel
from tests.site import Site

STREAMS = 200
WAVES = 3
SEED = 20261121
# Of the model: seconds until its first token, from one to the next, and how many. An answer takes some four seconds.
DELAY, PACE, TOKENS = 1.5, 0.15, 20
# Seconds after which the last client leaves: a few have their whole answer by then. Every other one counts from its
# first event, so that the model is asked for it however slow the machine is.
LATEST = 5.0
_PATIENCE = 60.0
_SETTLE_SECONDS = 30.0  # until requests that stood in line have seen that their clients left
CLOSED_WITHIN = 2.0  # seconds from a client's leaving until the model's server sees its connection closed
_DONE = b"event: done\n"
_MODEL = "patient-1"


@dataclass(frozen=True)
class Left:
    """A client that left, or had its whole answer before; times in seconds of the epoch."""

    mark: str
    at: float
    whole: bool


def whole() -> Report:
    with stage() as (up, model):
        return dropped(up, model, streams=STREAMS, waves=WAVES)


@contextmanager
def stage(**settings: str) -> Iterator[tuple[Site, PatientModel]]:
    """A site whose answers come from a patient model."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        patient_model.running(delay=DELAY, pace=PACE, tokens=TOKENS) as model,
        site.running(Path(folder), **answering(model), **settings) as up,
    ):
        yield up, model


def answering(model: PatientModel) -> dict[str, str]:
    """The settings of a site whose answers come from it."""
    return {
        "ANSWER_PROVIDER": "openai",
        "ANSWER_BASE_URL": model.url,
        "ANSWER_MODEL": _MODEL,
        "ANSWER_API_KEY": "sk-chaos",
        "MODEL_PRICES": f"{_MODEL}=1000/2000",
    }


def dropped(
    up: Site, model: PatientModel, *, streams: int, waves: int, within: float = CLOSED_WITHIN
) -> Report:
    """`waves` times so many streams at once, each of whose clients leaves at a moment of its own.

    `within`: seconds until the call to the model is closed; a machine that is busy with other things has its own.
    """
    chance = random.Random(SEED)
    key = calls.new_key(Business(up))
    warm_up(up, key.raw)
    before, weighed = _threads(up), _kilobytes(up)
    left: list[Left] = []
    with _bystander(up, key.raw) as seen:
        for wave in range(waves):
            marks = [f"mark-{wave}x{number}" for number in range(streams)]
            left += asyncio.run(_wave(up, key.raw, marks, chance))
            with suppress(AssertionError):  # what does not end is a fault below
                site.wait_for(lambda: all(call.ended for call in model.calls()), seconds=10)
                site.wait_for(lambda: not _held(up), seconds=_SETTLE_SECONDS)
    told = {call.mark: call for call in model.calls() if call.mark}
    late = lateness(left, told)
    records = _records(up, set(told))
    more = _threads(up) - before
    faults = [
        *_faults_of_calls(left, told, within=within),
        *_faults_of_records(left, told, records),
        *(f"{kind}: answered {status}" for kind, status, _ in seen if status != 200),
        *_left_behind(up, more=more, streams=streams),
    ]
    return Report(
        asked={"streams": streams, "waves": waves},
        seen={
            "left": sum(not client.whole for client in left),
            "whole": sum(client.whole for client in left),
            "never reached the model": len(left) - len(told),
            "closed after ms, median": _ms(late, 0.5),
            "closed after ms, latest": _ms(late, 1.0),
            "threads more": more,
            "kB a thread more": round((_kilobytes(up) - weighed) / max(1, more)),
            "bystanders": len(seen),
            "bystanders' slowest ms": _ms([seconds for _, _, seconds in seen], 1.0),
        },
        faults=faults,
    )


# The clients -------------------------------------------------------------------------------------------------


async def _wave(up: Site, raw: str, marks: Sequence[str], chance: random.Random) -> list[Left]:
    return list(await asyncio.gather(*(_leaves(up, raw, mark, chance) for mark in marks)))


async def _leaves(up: Site, raw: str, mark: str, chance: random.Random) -> Left:
    """A client that reads until a moment of its own, then closes its connection or resets it."""
    patience, resets = chance.uniform(0, LATEST), chance.random() < 0.5
    await asyncio.sleep(chance.uniform(0, 0.5))
    address = urlsplit(up.facts["url"])
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request(up, raw, mark))
    whole = False
    with suppress(TimeoutError):
        if chance.random() < 0.5:
            async with asyncio.timeout(_PATIENCE):
                await reader.read(1)
        async with asyncio.timeout(patience):
            whole = await _read(reader)
    if resets:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    left = Left(mark, time.time(), whole)
    writer.close()
    return left


def request(up: Site, raw: str, mark: str, *, stream: bool = True) -> bytes:
    """A question of its own, as it goes over the wire."""
    question = {"question": f"How do I rotate an API key? {mark}", "stream": stream, "use_cache": False}
    body = json.dumps(question).encode()
    headers = {
        **carrying(raw),
        "Host": urlsplit(up.facts["url"]).netloc,
        "Content-Length": str(len(body)),
    }
    lines = ["POST /api/query HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


async def _read(reader: asyncio.StreamReader) -> bool:
    """Whether the last event came."""
    seen = b""
    while part := await reader.read(65536):
        seen = seen[-len(_DONE) :] + part
        if _DONE in seen:
            return True
    return False


@contextmanager
def _bystander(up: Site, raw: str) -> Iterator[list[tuple[str, int, float]]]:
    """Asks meanwhile for what needs no model: kind, status and seconds of each."""
    seen: list[tuple[str, int, float]] = []
    stopped = threading.Event()

    def ask() -> None:
        client = Client(up)
        asks: Mapping[str, Callable[[], int]] = {
            "cached": lambda: client.ask(raw).status,
            "health": lambda: client.send("GET", "/health", headers={})[0].status,
            "history": lambda: client.send("GET", "/api/history?limit=1", headers=carrying(raw))[0].status,
        }
        while not stopped.wait(0.1):
            for kind, asked in asks.items():
                began = time.monotonic()
                seen.append((kind, asked(), time.monotonic() - began))
        client.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


# What became of them -----------------------------------------------------------------------------------------


def lateness(left: Sequence[Left], told: Mapping[str, Call]) -> list[float]:
    """Seconds from each leaving until the call to the model was closed; of one that began later, from then."""
    return [
        max(0.0, told[client.mark].ended - max(client.at, told[client.mark].began))
        for client in left
        if client.mark in told and told[client.mark].ended and not told[client.mark].whole
    ]


def _faults_of_calls(left: Sequence[Left], told: Mapping[str, Call], *, within: float) -> list[str]:
    faults = [f"{call.mark}: the call to the model is open" for call in told.values() if not call.ended]
    at = {client.mark: client.at for client in left}
    for call in told.values():
        late = call.ended - max(at[call.mark], call.began)
        if late > within:
            faults.append(f"{call.mark}: its call ended {late:.2f} s after its client left")
    return faults


def _records(up: Site, marks: set[str]) -> dict[str, tuple[str, int, Any, Any]]:
    """Of each question with a mark: its error code in the history, its status in the record of use, and both costs."""
    select = """
    SELECT query.question, query.error_code, used.status, query.cost_usd, used.cost_usd
    FROM queries_query AS query JOIN apikeys_usage AS used ON used.id = query.id WHERE query.question LIKE '%%mark-%%'
    """

    def look() -> dict[str, tuple[str, int, Any, Any]]:
        with psycopg.connect(embedded.database_url(up.data_dir, role="postgres")) as connection:
            rows = connection.execute(select).fetchall()
        return {question.split()[-1]: (code, *rest) for question, code, *rest in rows}

    with suppress(AssertionError):  # what is missing is a fault
        site.wait_for(lambda: marks <= set(look()), seconds=30)
    return look()


def _faults_of_records(
    left: Sequence[Left], told: Mapping[str, Call], records: Mapping[str, tuple[str, int, Any, Any]]
) -> list[str]:
    faults = [f"{mark}: it is not on record" for mark in told if mark not in records]
    for client in left:
        if client.mark not in records:
            continue
        code, status, cost, used = records[client.mark]
        if client.whole and (code, status) != ("", 200):
            faults.append(f"{client.mark}: whole, and on record as {code} {status}")
        # One that left between the last token and the last event may have had its answer made.
        if not client.whole and (code, status) not in {("client_left", 499), ("", 200)}:
            faults.append(f"{client.mark}: left, and on record as {code} {status}")
        if client.mark in told and (not cost or cost != used):
            faults.append(f"{client.mark}: {code} {status} cost {cost} in the history, {used} in the usage")
        if client.mark in told and not told[client.mark].whole and status == 200:
            faults.append(f"{client.mark}: on record as answered, and the model was not heard out")
    return faults


def _left_behind(up: Site, *, more: int, streams: int) -> list[str]:
    held = _held(up)
    faults = [f"{held} connections of clients that left are held"] if held else []
    # Threads that are free wait for the next request: as many as were ever busy at once, and not those of every wave.
    if more > 1.5 * streams + 10:
        faults.append(f"{more} threads more than before, after {streams} streams at once")
    return faults


def _held(up: Site) -> int:
    """Connections that are closed at the other end: a thread that stays has its client's still."""
    connections = [held for worker in web_workers(up) for held in worker.net_connections("tcp")]
    return sum(held.status == psutil.CONN_CLOSE_WAIT for held in connections)


def _threads(up: Site) -> int:
    return sum(worker.num_threads() for worker in web_workers(up))


def _kilobytes(up: Site) -> int:
    return sum(int(worker.memory_info().rss) for worker in web_workers(up)) // 1024


def _ms(seconds: Sequence[float], share: float) -> float:
    ranked = sorted(seconds) or [0.0]
    return round(ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1000, 1)
