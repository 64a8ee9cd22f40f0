"""Clients that ask as quickly as they are answered, and what that costs the servers."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.bench.measure import Sample

ASKER = Path(__file__).with_name("asker.py")
SETTLE_SECONDS = (
    1.0  # in which what a turn has left in queues is written: it belongs to that turn and not to the next
)


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def prebuilt(self, host: str) -> bytes:
        headers = {"Host": host, **self.headers, "Content-Length": str(len(self.body))}
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Server:
    """What answers at `url`: its own processes, and those that work for it (Redis, Postgres, the recorder)."""

    url: str
    web: Callable[[], Sequence[psutil.Process]]
    behind: Callable[[], Sequence[psutil.Process]] = list


def sample(server: Server, call: Call, *, seconds: float, clients: int) -> Sample:
    """Requests a second over `seconds`, and the CPU seconds of one; raises on any answer but 200."""
    before = _cpu(server.web()), _cpu(server.behind())
    counts, spent = zip(*_asked(server.url, call, seconds=seconds, clients=clients), strict=True)
    time.sleep(SETTLE_SECONDS)
    web, behind = (
        _grown(was, now) for was, now in zip(before, (_cpu(server.web()), _cpu(server.behind())), strict=True)
    )
    total = sum(counts)
    return Sample(total / seconds, web / total, behind / total, sum(spent) / total)


def spending(server: Server, work: Callable[[], int]) -> Sample:
    """Units of work a second of something that this process asks the server for, one after the other."""
    before = _cpu(server.web()), _cpu(server.behind())
    cpu, started = time.process_time(), time.perf_counter()
    units = work()
    took, asking = time.perf_counter() - started, time.process_time() - cpu
    web, behind = (
        _grown(was, now) for was, now in zip(before, (_cpu(server.web()), _cpu(server.behind())), strict=True)
    )
    return Sample(units / took, web / units, behind / units, asking / units)


def taking(work: Callable[[], int]) -> Sample:
    """Units of work a second of something that runs in this process."""
    cpu, started = time.process_time(), time.perf_counter()
    units = work()
    return Sample(units / (time.perf_counter() - started), (time.process_time() - cpu) / units)


def _asked(url: str, call: Call, *, seconds: float, clients: int) -> list[tuple[int, float]]:
    """Requests, and CPU seconds, of each client."""
    address = urlsplit(url)
    job = f"{address.hostname} {address.port} {seconds}\n".encode() + call.prebuilt(address.netloc)
    askers = [
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(ASKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(clients)
    ]
    for asker in askers:
        assert asker.stdin
        asker.stdin.write(job)
        asker.stdin.close()
    told = [asker.stdout.read() if asker.stdout else b"" for asker in askers]
    if any(asker.wait() for asker in askers):
        raise RuntimeError(f"{call.path} was not answered; see above.")
    return [(int(count), float(cpu)) for count, cpu in (line.split() for line in told)]


def _cpu(processes: Iterable[psutil.Process]) -> dict[int, float]:
    used = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a database's connection that was closed meanwhile
            used[process.pid] = sum(process.cpu_times()[:2])
    return used


def _grown(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    return sum(now - before.get(pid, 0.0) for pid, now in after.items())
