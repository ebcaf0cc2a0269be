"""`python -m bench.label_repair`: what wrong durations cost, how many are found, what repair brings back. Prints JSON.

    TANDEM_HOME=… tandem data tlc --from DIR --months 2020-04..2021-01
    python -m bench.label_repair --test-from 2021-01-01 --share 0.1 --seeds 1 2 3 4 5

A share of the trips learned from gets a wrong duration, a third of them each: times U(0.3, 0.6), times U(1.7, 3),
swapped with a trip of another pair. All of them pass the cleaning rules. The features of the trips stay as they were;
the teachers, and what they look at around a trip, see the wrong records only. A tree student is then fitted, with the
same seed, on the true durations, the wrong ones and the repaired ones, and judged on the true ones of later trips.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.distillation import last_trips, say, summary
from contracts.distance import typical_log_s
from contracts.schema import Floats
from contracts.trips import CITY_TZ, MAX_DURATION_S, MIN_DURATION_S
from feature_repo.hindsight import Known, Neighbours
from feature_repo.trip_values import MAX_LOG_RATIO
from pipelines.layout import Layout
from pipelines.trips import read_trips
from pipelines.vectors import LearningData, learning_data
from training.distill import Background, teach
from training.export import Head
from training.hindsight import OFFSET_AT
from training.settings import TrainingSettings, override
from training.trees import Examples, fit_trees
from training.trip_vectors import TripVectors
from training.trips import KM_PER_MILE, MAX_MPH, MIN_MPH

RESULTS = Path(__file__).parent / "results" / "label_repair.json"
KINDS = ("shorter", "longer", "swapped")
DAYS_RESAMPLED = 1000
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Corrupted:
    """Durations with a share of wrong ones, and of which kind each is: 0 for a true one, else 1 + position in KINDS."""

    duration_s: Floats
    kind: npt.NDArray[np.int64]


def main(arguments: list[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.label_repair", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("TANDEM_HOME", ".tandem")))
    parser.add_argument("--test-from", type=date.fromisoformat, required=True)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--rows", type=int, help="learn from the last so many trips (default: all)")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    changes = dict(change.split("=", 1) for change in chosen.changes)
    # Repair alone: the teachers' word for what nobody doubts, and queries, would blur what it does.
    settings = override(TrainingSettings(), {"distill.share": 0.0, "distill.expand": 0.0, **changes})
    begun, layout = time.monotonic(), Layout(chosen.home.resolve())
    data = learning_data(layout, None, chosen.test_from, settings)
    km = metered_km(layout, chosen.test_from)
    if chosen.rows:
        data, km = last_trips(data, chosen.rows), km[-chosen.rows :]
    say(begun, f"{len(data.learn)} trips to learn from, {len(data.test)} to test on")
    runs = []
    for seed in chosen.seeds:
        runs.append(measure(data, km, replace(settings, seed=seed), share=chosen.share))
        say(begun, json.dumps({"seed": seed, **runs[-1]}))
    flat = [{name: value for name, value in run.items() if isinstance(value, float)} for run in runs]
    result = {
        "test_from": str(chosen.test_from),
        "learned": len(data.learn),
        "tested": len(data.test),
        "seeds": chosen.seeds,
        "share": chosen.share,
        "settings": changes,
        **judged(flat),
        "figures": summary(flat),
        "runs": runs,
        "seconds": round(time.monotonic() - begun),
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 0


def judged(runs: list[dict[str, float]]) -> dict[str, float]:
    """The acceptance line: loss in standard errors (over days, and over seeds), found, precision, brought back."""
    loss = np.array([run["wrong_mae_s"] - run["true_mae_s"] for run in runs])
    left = np.array([run["repaired_mae_s"] - run["true_mae_s"] for run in runs])
    over_seeds = float(loss.std(ddof=1) / np.sqrt(len(loss))) if len(loss) > 1 else float("nan")
    return {
        "loss_s": float(loss.mean()),
        "loss_in_standard_errors_over_days": float(np.mean([run["loss_s"] / run["loss_se_days_s"] for run in runs])),
        "loss_in_standard_errors_over_seeds": float(loss.mean() / over_seeds) if over_seeds else float("nan"),
        "found": float(np.mean([run["found"] for run in runs])),
        "precision": float(np.mean([run["precision"] for run in runs])),
        "brought_back": float(1.0 - left.mean() / loss.mean()),
    }


def measure(data: LearningData, km: Floats, settings: TrainingSettings, *, share: float) -> dict[str, Any]:
    """One seed: a new draw of wrong records, and models with that seed."""
    wrong = corrupt(data.learn, km, share=share, seed=settings.seed)
    trips = replace(data.learn, duration_s=wrong.duration_s)
    holdout = round(settings.holdout_share * len(trips))
    taught = teach(
        trips,
        seen_by_teachers(data, wrong.duration_s, settings.distill.folds),
        settings.teacher,
        settings.distill,
        holdout=holdout,
        seed=settings.seed,
        tick=lambda: None,
    )
    set_aside, bad = taught.labels.quarantined, wrong.kind > 0
    labels = {"true": data.learn.duration_s, "wrong": wrong.duration_s, "repaired": taught.labels.seconds}
    off = {name: errors(data, seconds, settings) for name, seconds in labels.items()}
    clean_aside = set_aside & ~bad
    return {
        **{f"{name}_mae_s": float(one.mean()) for name, one in off.items()},
        "loss_s": float((off["wrong"] - off["true"]).mean()),
        "loss_se_days_s": over_days(off["wrong"] - off["true"], data.test.context.day),
        "wrong_records": float(bad.sum()),
        "found": float((set_aside & bad).sum() / bad.sum()),
        "precision": float((set_aside & bad).sum() / max(int(set_aside.sum()), 1)),
        "true_set_aside": float(clean_aside.sum() / (~bad).sum()),
        "found_by_kind": {
            name: float(set_aside[wrong.kind == i + 1].mean()) for i, name in enumerate(KINDS) if share > 0
        },
    }


def corrupt(trips: TripVectors, km: Floats, *, share: float, seed: int) -> Corrupted:
    """Make a share of the durations wrong, a third in each way; only such as pass the cleaning rules are made."""
    rng = np.random.default_rng(seed)
    n, true_s = len(trips), trips.duration_s
    wanted = round(share * n / len(KINDS))
    made, kind = true_s.copy(), np.zeros(n, dtype=np.int64)
    free = rng.permutation(n)
    for number, (low, high) in enumerate(((0.3, 0.6), (1.7, 3.0)), start=1):
        seconds = np.round(true_s[free] * rng.uniform(low, high, len(free)))
        picked = np.flatnonzero(passes(seconds, km[free]))[:wanted]
        made[free[picked]], kind[free[picked]] = seconds[picked], number
        free = np.delete(free, picked)
    half = len(free) // 2
    one, other = free[:half], free[half : 2 * half]
    apart = np.array(trips.context.pairs, dtype=object)
    fits = (apart[one] != apart[other]) & passes(true_s[other], km[one]) & passes(true_s[one], km[other])
    picked = np.flatnonzero(fits)[: (wanted + 1) // 2]
    one, other = one[picked], other[picked]
    made[one], made[other] = true_s[other], true_s[one]
    kind[one] = kind[other] = len(KINDS)
    return Corrupted(made, kind)


def passes(seconds: Floats, km: Floats) -> Bools:
    """The cleaning rules that a duration can break: 1 to 120 minutes, 1 to 70 mph of the metered distance."""
    mph = km / KM_PER_MILE / (seconds / 3600.0)
    kept: Bools = (seconds >= MIN_DURATION_S) & (seconds <= MAX_DURATION_S) & (mph >= MIN_MPH) & (mph <= MAX_MPH)
    return kept


def seen_by_teachers(data: LearningData, duration_s: Floats, folds: int) -> Background:
    """The background with what the teachers look at around a trip made of the wrong records, too."""
    background, context = data.background, data.learn.context
    assert background is not None
    excess = np.clip(np.log(duration_s) - typical_log_s(context.distance_m), -MAX_LOG_RATIO, MAX_LOG_RATIO)
    known = Known(
        context.pickup, context.dropoff, background.started_s, context.distance_m, duration_s, background.fold
    )

    def neighbours(which: Bools) -> Neighbours:
        return Neighbours(known.rows(which), folds=folds, zones=len(data.learn.zones.ids))

    return replace(background, log_excess=excess, neighbours=neighbours)


def errors(data: LearningData, seconds: Floats, settings: TrainingSettings) -> Floats:
    """Absolute errors [t] on the test of a tree student that learned from these durations."""
    examples = Examples(data.learn.matrix, seconds)
    booster = fit_trees(examples, settings.student, offset=OFFSET_AT, seed=settings.seed)
    head = Head(low_factor=1.0, high_factor=1.0, offset=OFFSET_AT)
    off: Floats = np.abs(head.eta_s(booster.predict(data.test.matrix), data.test.matrix) - data.test.duration_s)
    return off


def over_days(values: Floats, day: npt.NDArray[np.int64]) -> float:
    """Standard error of a mean [t] by resampling whole days."""
    _, place = np.unique(day, return_inverse=True)
    sums, trips = np.bincount(place, weights=values), np.bincount(place)
    picks = np.random.default_rng(0).integers(len(sums), size=(DAYS_RESAMPLED, len(sums)))
    return float((sums[picks].sum(axis=1) / trips[picks].sum(axis=1)).std(ddof=1))


def metered_km(layout: Layout, test_from: date) -> Floats:
    """Kilometres [n] of the trips learned from, in their order; never a feature."""
    trips = read_trips(layout.trips)
    boundary = pd.Timestamp(test_from, tz=CITY_TZ)
    mature = trips["pickup_at"] + pd.Timedelta(MAX_DURATION_S, unit="s") <= boundary
    km: Floats = trips.loc[mature & (trips["dropoff_at"] < boundary), "distance_km"].to_numpy(dtype=np.float64)
    return km


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
