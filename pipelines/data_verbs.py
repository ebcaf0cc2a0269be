"""The words of `tandem data`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from pipelines.arguments import monday, months, positive, seed

Run = Callable[..., dict[str, Any]]
Verb = Callable[..., argparse.ArgumentParser]


def add(verbs: Any, verb: Verb, run: Run) -> None:
    """Add them to a parser; `run(module, function, home, …)` runs a pipeline."""

    def sample_verb(a: argparse.Namespace) -> dict[str, Any]:
        when = {"start": a.start} if a.start else {}
        return run(
            "data", "sample", a.home, trips=a.trips, weeks=a.weeks, seed=a.seed, progress=sys.stderr.isatty(), **when
        )

    def tlc_verb(a: argparse.Namespace) -> dict[str, Any]:
        colours = tuple(dict.fromkeys(a.colour or ["green"]))
        return run(
            "data",
            "tlc",
            a.home,
            source=a.source,
            months=a.months,
            zones=a.zones,
            colours=colours,
            progress=sys.stderr.isatty(),
        )

    data = verbs.add_parser("data", help="bring trips in").add_subparsers(required=True, metavar="SOURCE")
    sample = verb("sample", sample_verb, "Draw Manhattan trips from the real demand and speeds of 2018.", data)
    sample.add_argument("--trips", type=positive, default=500_000, help="about how many (default: %(default)s)")
    sample.add_argument("--weeks", type=positive, default=6, help="over how many weeks (default: %(default)s)")
    sample.add_argument("--start", type=monday, help="first day, a Monday (default: a fixed one)")
    sample.add_argument("--seed", type=seed, default=7, help="same seed, same bytes (default: %(default)s)")
    tlc = verb("tlc", tlc_verb, "Bring in official NYC TLC trip records, cleaned by stated rules.", data)
    tlc.add_argument("--from", dest="source", required=True, metavar="DIR_OR_URL", help="where the monthly files are")
    tlc.add_argument("--months", type=months, required=True, metavar="A..B", help="such as 2020-08..2021-01")
    tlc.add_argument("--colour", choices=["green", "yellow"], action="append", help="default: green")
    tlc.add_argument("--zones", metavar="FILE", help="LocationID, zone, borough, lon, lat as CSV")
