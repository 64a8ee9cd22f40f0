"""make bench: every case, or the ones named; `--json` for programs."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from tests.bench.cases import CASES
from tests.bench.measure import Comparison

_TITLES = {
    "name": "subject / baseline",
    "ratio": "ratio",
    "lowest": "lowest",
    "highest": "highest",
    "cpu_ratio": "by cpu",
    "subject_rate": "subject/s",
    "baseline_rate": "baseline/s",
    # Milliseconds of processor time a unit: its own processes, what works behind them, who asks.
    "subject_cpu_ms": "cpu",
    "subject_behind_ms": "behind",
    "subject_load_ms": "load",
    "baseline_cpu_ms": "base cpu",
    "baseline_behind_ms": "behind",
    "baseline_load_ms": "load",
}
_LINE = " ".join(f"{{{name}:{'28' if name == 'name' else '>10'}}}" for name in _TITLES)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    comparisons = [comparison for name in options.cases or CASES for comparison in CASES[name]()]
    sys.stdout.write(_report(comparisons, as_json=options.json))


def _report(comparisons: list[Comparison], *, as_json: bool) -> str:
    rows = [comparison.summary() for comparison in comparisons]
    if as_json:
        return json.dumps({"processors": os.cpu_count(), "comparisons": rows}, indent=2) + "\n"
    return "".join(f"{_LINE.format(**row)}  {_noted(row)}\n" for row in [_TITLES, *rows])


def _noted(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in dict(row.get("notes", {})).items())


if __name__ == "__main__":
    main()
