"""make chaos: every case at its whole size, or the ones named; `--json` for programs. Ends with 1 when one fails."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.chaos import (
    flight,
    ingestion,
    limits,
    malformed,
    model_faults,
    neighbours,
    outages,
    pooled,
    records,
    reembed,
    revocation,
    streams,
    waiting,
)
from tests.chaos.report import Report

CASES: dict[str, Callable[[], Report]] = {
    "revocation": revocation.whole,
    "revocation-by-operator": revocation.whole_by_operator,
    "rotation": revocation.whole_rotation,
    "limits-exact": limits.whole_exact,
    "limits-storm": limits.whole_storm,
    "limits-storm-http": limits.whole_storm_over_http,
    "retry-after": waiting.whole,
    "pooled": pooled.whole,
    "flight": flight.whole,
    "neighbours": neighbours.whole,
    "records": records.whole,
    "records-redis-killed": records.whole_redis_killed,
    "records-redis-unsynced": records.whole_redis_unsynced,
    "records-redis-everysec": records.whole_redis_everysec,
    "reembed": reembed.whole,
    "outage-killed": outages.whole_killed,
    "outage-stopped": outages.whole_stopped,
    "outage-slow": outages.whole_slow,
    "malformed": malformed.whole,
    "model-faults": model_faults.whole,
    "streams": streams.whole,
    "ingest-worker": ingestion.whole_worker,
    "ingest-web": ingestion.whole_web,
    "ingest-redis": ingestion.whole_redis,
    "ingest-redis-restarts": ingestion.whole_redis_restarts,
    "ingest-postgres": ingestion.whole_postgres,
    "ingest-poison": ingestion.whole_poison,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    rows = []
    for name in options.cases or CASES:
        rows.append(_run(name))
        if not options.json:  # one by one: the whole takes a while
            print(_shown(rows[-1]), flush=True)
    if options.json:
        json.dump({"cases": rows}, sys.stdout, indent=2)
        print()
    return 0 if all(row["held"] for row in rows) else 1


def _run(name: str) -> dict[str, Any]:
    began = time.monotonic()
    report = CASES[name]()
    return {"name": name, "seconds": round(time.monotonic() - began, 1), **report.summary()}


def _shown(row: dict[str, Any]) -> str:
    verdict = "held" if row["held"] else "FAILED"
    parts = [f"  {part:6} {_figures(row[part])}" for part in ("asked", "seen")]
    faults = [f"  fault  {fault}" for fault in row["faults"]]
    return "\n".join([f"{row['name']}: {verdict} ({row['seconds']} s)", *parts, *faults])


def _figures(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
