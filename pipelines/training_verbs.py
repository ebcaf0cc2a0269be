"""The words of `tandem train`, `label`, `evaluate` and `publish`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from pipelines.arguments import positive, seed

Run = Callable[..., dict[str, Any]]
Verb = Callable[..., argparse.ArgumentParser]


def add(verb: Verb, run: Run) -> None:
    """Add them to a parser; `run(module, function, home, …)` runs a pipeline."""

    def train_verb(a: argparse.Namespace) -> dict[str, Any]:
        params = {"distill.folds": 0} if a.no_distill else {}
        return run(
            "train",
            "train",
            a.home,
            trips=a.source,
            test_from=a.test_from,
            requests=a.requests,
            seed=a.seed,
            params=params,
            without_champion=a.without_champion,
            progress=sys.stderr.isatty(),
        )

    def label_verb(a: argparse.Namespace) -> dict[str, Any]:
        return run(
            "label",
            "label",
            a.home,
            a.requests,
            a.out,
            version=a.version,
            part_rows=a.part_rows,
            workers=a.workers,
            engine=a.engine,
            progress=sys.stderr.isatty(),
        )

    def evaluate_verb(a: argparse.Namespace) -> dict[str, Any]:
        return run("evaluate", "evaluate", a.home, version=a.version, trips=a.trips)

    def publish_verb(a: argparse.Namespace) -> dict[str, Any]:
        return run("publish", "publish", a.home, a.version)

    train = verb("train", train_verb, "Train both tiers on the trips and register a version.")
    train.add_argument("--source", type=Path, metavar="FILE", help="a trips file (default: what `tandem data` wrote)")
    train.add_argument(
        "--test-from", type=date.fromisoformat, metavar="DATE", help="trips from this local day on are the test"
    )
    train.add_argument("--seed", type=seed, default=7, help="same seed, same model (default: %(default)s)")
    train.add_argument(
        "--without-champion", metavar="REASON", help="let a candidate through that can't be held against the champion"
    )

    train.add_argument(
        "--requests", type=Path, metavar="FILE", help="requests; those that never became trips are learned from, too"
    )
    train.add_argument("--no-distill", action="store_true", help="hard labels alone: no teachers, no `tandem label`")

    label = verb("label", label_verb, "Label requests in bulk with a version's teachers; run again, it goes on.")
    label.add_argument("--requests", type=Path, required=True, metavar="FILE", help="Parquet of requests, or of trips")
    label.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder for the parts")
    label.add_argument("--version", type=positive, metavar="N", help="whose teachers (default: the champion's)")
    label.add_argument("--workers", type=positive, metavar="N", help="at once (default: one a processor)")
    label.add_argument(
        "--engine", choices=["threads", "ray"], default="threads", help="ray: Ray Data, also on RAY_ADDRESS's cluster"
    )
    label.add_argument(
        "--part-rows", type=positive, metavar="N", default=65_536, help="requests a part (default: %(default)s)"
    )

    evaluate = verb("evaluate", evaluate_verb, "Errors of a published version on a trips file, by slice.")
    evaluate.add_argument("--version", type=positive, required=True, metavar="N")
    evaluate.add_argument("--trips", type=Path, required=True, metavar="FILE", help="ours or the TLC's Parquet")

    publish = verb("publish", publish_verb, "Verify a registered version and put it into the artifact store.")
    publish.add_argument("--version", type=positive, required=True, metavar="N")
