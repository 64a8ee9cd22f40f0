"""A client that asks as quickly as it is answered, over connections that it keeps."""

import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from tests.bench.measure import Sample


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def sample(
    url: str, call: Call, *, processes: Sequence[psutil.Process], seconds: float, threads: int
) -> Sample:
    """Requests a second over `seconds`, and what they cost the given processes; raises on any answer but 200."""
    before = _cpu(processes)
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        counts = list(pool.map(lambda _: _ask(url, call, until=started + seconds), range(threads)))
    elapsed = time.perf_counter() - started
    return Sample(sum(counts) / elapsed, (_cpu(processes) - before) / sum(counts))


def taking(work: Callable[[], int]) -> Sample:
    """Units of work a second of something that runs in this process."""
    cpu, started = time.process_time(), time.perf_counter()
    units = work()
    return Sample(units / (time.perf_counter() - started), (time.process_time() - cpu) / units)


def _ask(url: str, call: Call, *, until: float) -> int:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    count = 0
    while time.perf_counter() < until:
        connection.request(call.method, call.path, body=call.body or None, headers=dict(call.headers))
        response = connection.getresponse()
        answer = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"{call.path} answered {response.status}: {answer[:200]!r}")
        count += 1
    connection.close()
    return count


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)
