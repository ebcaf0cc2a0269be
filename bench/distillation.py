"""`python -m bench.distillation`: teacher, students and their hard-label controls over several seeds. Prints JSON.

    TANDEM_HOME=… tandem data tlc --from DIR --months 2020-04..2021-01
    python -m bench.distillation --test-from 2021-01-01 --seeds 1 2 3 4 5

Vectors are built once; a seed changes every model. `--rows` learns from the last so many trips alone, `--set` changes a
setting of the training, such as ``--set distill.share=0.25``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.layout import Layout
from pipelines.vectors import LearningData, learning_data
from training.distill import Background
from training.distilled import table
from training.evaluate import mae_change_interval
from training.labels import Queries
from training.settings import TrainingSettings, override
from training.tiers import BASELINE, fit_tiers

RESULTS = Path(__file__).parent / "results" / "distillation.json"


def main(arguments: list[str]) -> int:
    """Measure and write; figures of a seed are printed as they come."""
    parser = argparse.ArgumentParser(prog="python -m bench.distillation", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("TANDEM_HOME", ".tandem")))
    parser.add_argument("--test-from", type=date.fromisoformat, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--rows", type=int, help="learn from the last so many trips (default: all)")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    changes = dict(change.split("=", 1) for change in chosen.changes)
    settings, begun = override(TrainingSettings(), changes), time.monotonic()
    data = learning_data(Layout(chosen.home.resolve()), None, chosen.test_from, settings)
    data = last_trips(data, chosen.rows) if chosen.rows else data
    say(begun, f"{len(data.learn)} trips to learn from, {len(data.test)} to test on")
    runs = []
    for seed in chosen.seeds:
        runs.append(measure(data, replace(settings, seed=seed)))
        say(begun, json.dumps({"seed": seed, **runs[-1]["mae_s"]}))
    result = {
        "test_from": str(chosen.test_from),
        "learned": len(data.learn),
        "tested": len(data.test),
        "seeds": chosen.seeds,
        "settings": changes,
        "mae_s": summary([run["mae_s"] for run in runs]),
        "coverage": summary([run["coverage"] for run in runs]),
        "labels": summary([run["labels"] for run in runs]),
        "kept": [run["kept"] for run in runs],
        "change_95": [run["change_95"] for run in runs],
        "runs": [run["mae_s"] for run in runs],
        "seconds": round(time.monotonic() - begun),
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 0


def measure(data: LearningData, settings: TrainingSettings) -> dict[str, Any]:
    """One seed: MAE of every model on the test, coverage, what the rule kept, and 95 % of the change over days."""
    tiers = fit_tiers(data.learn, settings, background=data.background, stage=lambda _: None, tick=lambda: None)
    answers, actual_s = tiers.estimate(data.test), data.test.duration_s
    del answers["student"]  # one of the others
    mae = {name: float(np.abs(one.eta_s - actual_s).mean()) for name, one in answers.items()}
    inside = {
        name: float(((actual_s >= one.low_s) & (actual_s <= one.high_s)).mean())
        for name, one in answers.items()
        if one.low_s is not None and one.high_s is not None and name != BASELINE
    }
    kinds = {one.name: one.name for one in tiers.candidates} | {one.name: one.name for one in tiers.rivals}
    changes = {}
    for comparison in tiers.distillation:
        kept, lost = comparison.family, f"{comparison.family}_{comparison.other}"
        hard, soft = (lost, kept) if comparison.other == "hard" else (kept, lost)
        ours, theirs = answers[kinds[soft]].eta_s, answers[kinds[hard]].eta_s
        changes[comparison.family] = mae_change_interval(actual_s, ours, theirs, data.test.context.day)
    return {
        "mae_s": {by_labels(name, tiers.distillation): value for name, value in mae.items()},
        "coverage": {by_labels(name, tiers.distillation): value for name, value in inside.items()},
        "labels": dict(tiers.labels),
        "kept": table(tiers.distillation),
        "change_95": changes,
    }


def by_labels(name: str, comparisons: Any) -> str:
    """A student's name with the labels it learned from, whichever of the two was kept."""
    if name.endswith(("_hard", "_distilled")):
        return name
    family = name.partition("_")[0]
    for one in comparisons:
        if one.family == family:
            return f"{name}_{one.kept}"
    return name


def last_trips(data: LearningData, rows: int) -> LearningData:
    """The same with the last so many trips to learn from, and queries of their time alone."""
    n = len(data.learn)
    which = np.arange(n) >= n - rows
    whole, few = data.background, None
    if whole is not None:
        picked = np.flatnonzero(whole.queries.at_s >= int(whole.started_s[which][0]))

        def neighbours(some: Any) -> Any:
            everywhere = np.zeros(n, dtype=np.bool_)
            everywhere[np.flatnonzero(which)[some]] = True
            return whole.neighbours(everywhere)

        queries = whole.queries
        few = Background(
            started_s=whole.started_s[which],
            fold=whole.fold[which],
            log_excess=whole.log_excess[which],
            neighbours=neighbours,
            queries=Queries(queries.pickup[picked], queries.dropoff[picked], queries.at_s[picked]),
            query_matrix=whole.query_matrix[picked],
        )
    return replace(data, learn=data.learn.rows(which), background=few)


def summary(runs: list[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean over seeds, and the standard deviation of one."""
    return {
        name: {
            "mean": float(np.mean([run[name] for run in runs])),
            "sd": float(np.std([run[name] for run in runs], ddof=1)) if len(runs) > 1 else float("nan"),
        }
        for name in runs[0]
    }


def say(begun: float, words: str) -> None:
    """On stderr, with the seconds since the beginning."""
    print(f"{time.monotonic() - begun:6.0f} s {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
