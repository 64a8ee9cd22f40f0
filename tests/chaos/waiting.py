"""Clients that wait as long as they are told to: their next try is let in."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.chaos.headers import Limit
from tests.chaos.people import Business
from tests.chaos.report import Report, on_its_own_site
from tests.chaos.traffic import Client
from tests.site import Site

LIMITS = [Limit(rate, burst) for rate in (1, 7, 20, 45, 60, 90, 333, 600) for burst in (1, 3)]
_ADMITTED, _LIMITED = 200, 429
_TRIES = 200  # to reach the limit; a quick key on a slow machine may have none that is reached


def whole() -> Report:
    return on_its_own_site(lambda up: obedient(up, limits=LIMITS, seconds=130))


def obedient(up: Site, *, limits: Sequence[Limit], seconds: float) -> Report:
    """Every limit by a key and a client of its own: asks until it is refused, waits as told, asks again, and so on."""
    business = Business(up)
    until = time.time() + seconds
    with ThreadPoolExecutor(len(limits)) as pool:
        outcomes = list(pool.map(lambda limit: _waits(up, business, limit=limit, until=until), limits))
    counts = {
        f"{limit.rate}/min burst {limit.burst}": len(seen)
        for limit, seen in zip(limits, outcomes, strict=True)
    }
    return Report(
        asked={"keys": len(limits), "seconds": seconds},
        seen={"waits": sum(counts.values()), **counts},
        faults=[
            f"{limit}: told {status} after a wait of {told} s"
            for limit, seen in zip(limits, outcomes, strict=True)
            for status, told in seen
            if status != _ADMITTED
        ]
        + [f"{name} was never reached" for name, count in counts.items() if not count],
    )


def _waits(up: Site, business: Business, *, limit: Limit, until: float) -> list[tuple[int, str]]:
    """What was told at each next try, and how long the wait before it was."""
    _, raw = business.mint(rate_limit=limit.rate, burst=limit.burst)
    client = Client(up)
    seen: list[tuple[int, str]] = []
    try:
        while time.time() < until:
            told = _until_refused(client, raw)
            if told is None or time.time() + int(told) > until:
                break
            time.sleep(int(told))
            seen.append((client.ask(raw).status, told))
    finally:
        client.close()
    return seen


def _until_refused(client: Client, raw: str) -> str | None:
    """The `Retry-After` of the first refusal; None when there was none."""
    for _ in range(_TRIES):
        answer = client.ask(raw)
        if answer.status == _LIMITED:
            return answer.headers["retry-after"]
    return None
