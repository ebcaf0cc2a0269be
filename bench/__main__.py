"""`python -m bench [SUITE ...] [--quick] [--rows NAME ...]`; without a suite, all of them one after the other."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import report, serving
from bench.registry import SUITES
from bench.rows.protocol import Row
from bench.suite import measured
from bench.tables import ROWS
from bench.turn import QUICK, Plan

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
ALL = (*SUITES, serving.NAME)


def main(arguments: list[str]) -> int:
    """Run suites and write their JSON; full ones write the page too. One that fails says so and the rest go on."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.suites if name not in (*ALL, "report")]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}; there are {', '.join(ALL)} and report")
    home = Path(os.environ.get("TANDEM_HOME", ".tandem")).resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
    begun, failed = time.monotonic(), []

    def say(words: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s {words}", file=sys.stderr, flush=True)

    for name in [name for name in chosen.suites or ALL if name != "report"]:
        say(f"{name} begins")
        try:
            result = _serving(chosen, home, say) if name == serving.NAME else _acceptance(name, chosen, home, say)
            out = chosen.out or RESULTS / f"{name}{'-quick' if chosen.quick else ''}.json"
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            print(report.text_of(result), flush=True)
            if not (chosen.quick or chosen.out):
                report.write(RESULTS, PAGE)
        except Exception:  # noqa: BLE001 - the others' figures are worth having
            traceback.print_exc()
            failed.append(name)
    if "report" in chosen.suites:
        report.write(RESULTS, PAGE)
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{', '.join(ALL)}, or report: the page anew")
    parser.add_argument("--quick", action="store_true", help="short steps and one turn, for development and CI")
    parser.add_argument("--out", type=Path, help="the JSON file (default: in bench/results)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long `memory` loads the stack")
    parser.add_argument("--turns", type=int, help="turns of `serving` instead of the plan's (5, or 1 when quick)")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only rows whose name holds one of these words")
    parser.add_argument("--server-cpus", type=int, nargs="+", default=[0, 1], help="CPUs of the servers (both)")
    return parser


def _acceptance(name: str, chosen: argparse.Namespace, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    return measured(SUITES[name], home, say, quick=chosen.quick, minutes=chosen.minutes)


def _serving(chosen: argparse.Namespace, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    words = [word.lower() for word in chosen.rows or [""]]
    rows: list[Row] = [row for row in ROWS if any(word in row.name.lower() for word in words)]
    if not rows:
        sys.exit(f"no row is named like {chosen.rows}; there are {[row.name for row in ROWS]}")
    plan = replace(QUICK if chosen.quick else Plan(), server_cpus=tuple(chosen.server_cpus))
    return serving.run(rows, replace(plan, turns=chosen.turns or plan.turns), home, say)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
