"""The words of `tandem simulate dispatch` and `tandem simulate switchback`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipelines.arguments import positive

Run = Callable[..., dict[str, Any]]
Verb = Callable[..., argparse.ArgumentParser]
_DAY_H: Final = 24.0
_MOST_SUPPLY: Final = 100.0


def add(verbs: Any, verb: Verb, run: Run) -> None:
    """Add them to a parser; `run(module, function, home, …)` runs a pipeline."""
    words = "dispatch and its experiments in an imagined Manhattan"
    under = verbs.add_parser("simulate", help=words).add_subparsers(required=True, metavar="WHAT")
    _add_dispatch(under, verb, run)
    _add_switchback(under, verb, run)


def _add_dispatch(under: Any, verb: Verb, run: Run) -> None:
    def dispatch(a: argparse.Namespace) -> dict[str, Any]:
        found = run(
            "simulate",
            "dispatch",
            a.home,
            policies=a.policies,
            supplies=a.supply,
            seeds=range(1, a.seeds + 1),
            scale=a.scale,
            weekday=a.weekday,
            hours=a.hours,
            drivers=a.drivers,
            version=a.version,
            pictures=a.pictures,
            progress=sys.stderr.isatty(),
        )
        return found if a.json else found | {"supply": {r: _by_metric(of) for r, of in found["supply"].items()}}

    words = "Dispatch policies side by side, each against greedy, on the same simulated days."
    options = verb("dispatch", dispatch, words, under)
    options.add_argument("--scale", type=_scale, default=0.1, help="share of the city's trips (default: %(default)s)")
    options.add_argument("--weekday", type=int, choices=range(5), default=2, help="0 is Monday (default: %(default)s)")
    options.add_argument("--hours", type=_hours, default=(7.0, 11.0), metavar="A..B", help="default: 7..11")
    options.add_argument(
        "--supply", type=_supplies, default=(1.0,), metavar="R,…", help="drivers to rides under way (default: 1)"
    )
    options.add_argument("--drivers", type=positive, default=0, metavar="N", help="so many, instead of a supply ratio")
    options.add_argument("--seeds", type=positive, default=3, metavar="N", help="days 1 to N (default: %(default)s)")
    options.add_argument(
        "--policies",
        type=_names,
        metavar="NAME,…",
        help="default: the policies that need no version, and batch_student with --version; batch_teacher on demand",
    )
    options.add_argument("--version", type=positive, metavar="N", help="published version of the student's times")
    options.add_argument("--pictures", type=Path, metavar="DIR", help="write maps of who waits where")


def _add_switchback(under: Any, verb: Verb, run: Run) -> None:
    def switchback(a: argparse.Namespace) -> dict[str, Any]:
        days = {"experiments": a.experiments, "truths": a.truths}
        return run("switchback", "switchback", a.home, **days, progress=sys.stderr.isatty())

    words = "How well switchbacks and splits by rider measure dispatch, where the truth is known."
    options = verb("switchback", switchback, words, under)
    options.add_argument("--experiments", type=positive, default=100, metavar="N", help="default: %(default)s")
    options.add_argument("--truths", type=positive, default=40, metavar="N", help="default: %(default)s")


def _by_metric(tables: dict[str, Any]) -> dict[str, Any]:
    """Tables by policy turned round: a line a metric fits on a screen."""
    return {
        name: {metric: {policy: of[metric] for policy, of in table.items()} for metric in next(iter(table.values()))}
        for name, table in tables.items()
        if table
    }


def _scale(text: str) -> float:
    return _between(text, 1.0)


def _supplies(text: str) -> tuple[float, ...]:
    return tuple(_between(part, _MOST_SUPPLY) for part in text.split(","))


def _between(text: str, most: float) -> float:
    value = float(text)
    if not 0.0 < value <= most:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {most:g}")
    return value


def _hours(text: str) -> tuple[float, float]:
    first, span, last = text.partition("..")
    try:
        begin, end = float(first), float(last)
    except ValueError:
        begin = end = math.nan
    if not span or not 0.0 <= begin < end <= _DAY_H:
        raise argparse.ArgumentTypeError(f"{text!r} is not A..B with hours from 0 to 24, the earlier one first")
    return begin, end


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
