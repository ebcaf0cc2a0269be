"""What `tandem drift` says of real months, and how often it cries wolf over two halves of one.

`python -m bench.drift --tlc DIR [--seeds 20] [--plots DIR]` prints Markdown and keeps nothing. The version whose
answers are watched is fitted on other months than are compared, smaller than the default for the sake of time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from adapters.trips_file import trips_writer
from pipelines.data import tlc
from pipelines.drift import drift
from pipelines.layout import Layout
from pipelines.publish import publish
from pipelines.train import train
from pipelines.trips import read_trips

MONTHS = ("2020-04", "2021-01", "2022-03", "2023-03")
HALVED = "2021-01"
SHOWN = 8
LEARNED = "2020-08..2020-10"
SMALLER = {"student.rounds": 120, "teacher.rounds": 20, "teacher.leaves": 31, "net.epochs": 1, "parity_rows": 20_000}


def months(home: Path, folder: Path, plots: Path | None) -> None:
    """A table for each step from month to month, and one of the errors."""
    errors = list[tuple[str, dict[str, Any]]]()
    for before, after in pairwise(MONTHS):
        files = [folder / f"green_tripdata_{month}.parquet" for month in (before, after)]
        plot = plots / f"drift-{before}-{after}.png" if plots else None
        found = drift(home, *files, plot=plot)
        counts = f"{len(found['moved'])} of {len(found['columns'])} columns moved, {len(found['unjudged'])} unjudged"
        print(f"\n**{before} to {after}**: {counts}\n")
        print("| column | kind | what | from | to | PSI | by chance | JS | W/sigma |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name in found["moved"][:SHOWN]:
            row = found["columns"][name]
            far = "-" if row["wasserstein"] is None else f"{row['wasserstein']:.2f}"
            print(
                f"| `{name}` | {row['kind']} | {row['what']} | {row['before']:.3g} | {row['after']:.3g} "
                f"| {row['psi']:.2f} | {row['chance']:.3f} | {row['js']:.2f} | {far} |"
            )
        print(f"\nalso: {', '.join(found['moved'][SHOWN:]) or 'none'}")
        errors.append((f"{before} to {after}", found["error"]))
    print("\n| step | MAE before, s | estimated | interval | by the labels | estimate off |\n|---|---|---|---|---|---|")
    for step, error in errors:
        print(
            f"| {step} | {error['reference_mae_s']:.1f} | {error['estimated_mae_s']:.1f} "
            f"| {error['estimated_low_s']:.1f}..{error['estimated_high_s']:.1f} "
            f"| {error['mae_s']:.1f} | {error['estimate_off']:+.1%} |"
        )


def halves(home: Path, month: Path, seeds: Sequence[int]) -> None:
    """Alarms over halves of one month drawn by lot, each with features of its own trips."""
    trips, quiet, nearest = read_trips(month), 0, dict[int, Any]()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            first = np.random.default_rng(seed).permutation(len(trips)) < len(trips) // 2
            files = [Path(folder) / f"{name}.parquet" for name in ("first", "second")]
            for file, rows in zip(files, (first, ~first), strict=True):
                with trips_writer(file, f"half of {month.name}") as append:
                    append(trips[rows])
            found = drift(home, *files)
        quiet += not found["moved"]
        ratios = {
            name: row["psi"] / row["chance"] for name, row in found["columns"].items() if row["chance"] is not None
        }
        closest = max(ratios, key=ratios.__getitem__)
        nearest[seed] = {"moved": found["moved"], "nearest": closest, "psi_over_chance": round(ratios[closest], 2)}
        print(f"<!-- seed {seed}: {json.dumps(nearest[seed])} -->", flush=True)
    print(f"\n{quiet} of {len(seeds)} seeds without an alarm")


def main(argv: Sequence[str] | None = None) -> None:
    """Both, on a home made for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tlc", type=Path, required=True, help="the TLC's green months and the zones' centroids")
    parser.add_argument("--seeds", type=int, default=20, help="of halves (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--no-months", action="store_true", help="halves alone")
    parser.add_argument("--plots", type=Path, help="a folder for the pictures")
    arguments = parser.parse_args(argv)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        tlc(home, source=str(arguments.tlc), months=LEARNED, colours=("green",))
        publish(home, train(home, params=SMALLER)["version"])
        if not arguments.no_months:
            months(home, arguments.tlc, arguments.plots)
        tlc(home, source=str(arguments.tlc), months=f"{HALVED}..{HALVED}", colours=("green",))
        halves(home, Layout(home).trips, range(arguments.first_seed, arguments.first_seed + arguments.seeds))
    print(f"\n{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
