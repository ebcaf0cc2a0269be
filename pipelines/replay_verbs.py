"""The words of `tandem replay`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.arguments import positive, rate, seconds

Run = Callable[..., dict[str, Any]]
Verb = Callable[..., argparse.ArgumentParser]


def add(verb: Verb, run: Run) -> None:
    """Add them to a parser; `run(module, function, home, …)` runs a pipeline."""

    def replay_verb(a: argparse.Namespace) -> dict[str, Any]:
        if a.request is not None:
            return run("replay", "replay_request", a.home, a.request, version=a.version)
        how = {"rate": a.rate, "peak": a.peak, "seconds": a.seconds, "wait": a.wait}
        return run("replay_trips", "replay_trips", a.home, a.trips, **how, progress=sys.stderr.isatty())

    replay = verb("replay", replay_verb, "Answer one logged request again and compare; or send recorded traffic.")
    again = replay.add_mutually_exclusive_group(required=True)
    again.add_argument("--request", metavar="ID", help="the request_id of an answer")
    again.add_argument("--trips", type=Path, metavar="FILE", help="recorded trips, with their outcomes and ends")
    replay.add_argument(
        "--version", type=positive, metavar="N", help="a request by this version (default: the one that answered)"
    )
    replay.add_argument("--rate", type=rate, default=1.0, metavar="Nx", help="trips at so many times the peak")
    replay.add_argument(
        "--peak",
        type=seconds,
        default=300.0,
        metavar="PER_S",
        help="requests/s of the recording's busiest quarter of an hour at 1x (default: %(default)g)",
    )
    replay.add_argument("--for", type=seconds, dest="seconds", metavar="S", help="stop asking after so many seconds")
    replay.add_argument("--wait", action="store_true", help="stay until the last trip has ended, up to 2 h more")
