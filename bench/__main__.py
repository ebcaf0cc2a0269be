"""`python -m bench [serving] [--quick] [--rows NAME ...]`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench import report, serving
from bench.tables import ROWS
from bench.turn import QUICK, Plan

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def main(arguments: list[str]) -> int:
    """Run a suite, write its JSON; the full one writes the page too."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suite", nargs="?", choices=["serving", "report"], default="serving")
    parser.add_argument("--quick", action="store_true", help="one turn of short steps, for development and CI")
    parser.add_argument("--turns", type=int, help="turns instead of the plan's (5, or 1 when quick)")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only rows whose name holds one of these words")
    parser.add_argument(
        "--server-cpus", type=int, nargs="+", default=[0, 1], help="CPUs of the servers (default: both)"
    )
    parser.add_argument("--out", type=Path, default=None, help="the JSON file (default: in bench/results)")
    chosen = parser.parse_args(arguments)
    out = chosen.out or RESULTS / ("serving-quick.json" if chosen.quick else "serving.json")
    if chosen.suite == "serving":
        words = [word.lower() for word in chosen.rows or [""]]
        rows = [row for row in ROWS if any(word in row.name.lower() for word in words)]
        if not rows:
            parser.error(f"no row is named like {chosen.rows}; there are {[row.name for row in ROWS]}")
        plan = replace(QUICK if chosen.quick else Plan(), server_cpus=tuple(chosen.server_cpus))
        plan = replace(plan, turns=chosen.turns or plan.turns)
        home = Path(os.environ.get("TANDEM_HOME", ".tandem")).resolve()
        begun = time.monotonic()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
        result = serving.run(
            rows, plan, home, lambda w: print(f"{time.monotonic() - begun:6.0f} s {w}", file=sys.stderr)
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(report.write(json.loads(out.read_text(encoding="utf-8")), None if chosen.quick else PAGE))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
