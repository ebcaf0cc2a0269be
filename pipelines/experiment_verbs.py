"""The words of `tandem experiment`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., dict[str, Any]]
Verb = Callable[..., argparse.ArgumentParser]


def add(verbs: Any, verb: Verb, run: Run) -> None:
    """Add them to a parser; `run(module, function, home, …)` runs a pipeline."""

    def experiment_report_verb(a: argparse.Namespace) -> dict[str, Any]:
        result = run("experiment", "report", a.home, a.name, html=a.html)
        if a.json:
            result.pop("text", None)
        return result

    def experiment_plan_verb(a: argparse.Namespace) -> dict[str, Any]:
        words = {name: getattr(a, name) for name in ("metric", "change", "split", "power", "days")}
        return run("experiment_plan", "plan_test", a.home, **words)

    experiment = verbs.add_parser("experiment", help="read out A/B tests").add_subparsers(required=True, metavar="WHAT")
    read_out = verb("report", experiment_report_verb, "What a rollout's shadow, canary or A/B test showed.", experiment)
    read_out.add_argument("name", metavar="NAME", help="of the rollout, such as eta-3")
    read_out.add_argument("--html", type=Path, metavar="FILE", help="write a page with a plot, too")

    sized = verb("plan", experiment_plan_verb, "How many units and days an A/B test needs here.", experiment)
    sized.add_argument("--metric", default="abs_error_s", help="of the A/B step (default: %(default)s)")
    sized.add_argument("--change", type=float, required=True, metavar="PERCENT", help="to be found, such as -3")
    sized.add_argument("--split", type=float, default=50.0, metavar="PERCENT", help="the candidate's (default: 50)")
    sized.add_argument("--power", type=float, default=0.8, help="chance to find it (default: %(default)s)")
    sized.add_argument("--days", type=float, default=7.0, help="of the past to learn from (default: 7, and 7 before)")
