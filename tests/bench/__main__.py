"""make bench: every case, or the ones named; `--json` for programs."""

import argparse
import json
import os
import sys

from tests.bench.cases import CASES
from tests.bench.measure import Comparison

_LINE = "{name:32} {ratio:>8} {lowest:>8} {highest:>8} {subject_rate:>10} {baseline_rate:>10} {subject_cpu_ms:>10} {baseline_cpu_ms:>10}"
_TITLES = {
    "name": "subject / baseline",
    "ratio": "ratio",
    "lowest": "lowest",
    "highest": "highest",
    "subject_rate": "subject/s",
    "baseline_rate": "baseline/s",
    "subject_cpu_ms": "cpu ms",
    "baseline_cpu_ms": "cpu ms",
}


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
    return "".join(_LINE.format(**row) + "\n" for row in [_TITLES, *rows])


if __name__ == "__main__":
    main()
