"""`tandem train`: trips in, a registered version out, unless a gate refuses it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from tqdm import tqdm

from adapters.artifact_store import ETA_FILE, MATRIX_FILE
from contracts.errors import InvalidInput
from pipelines.gates import comparison, judge_tiers, measure_parity_of
from pipelines.layout import Layout
from pipelines.lineage import git_revision
from pipelines.register import Trained, register
from pipelines.vectors import labels, learning_data
from training.distilled import table as distillation
from training.evaluate import assess
from training.frontier import table
from training.settings import TrainingSettings, override
from training.tiers import BASELINE, fit_tiers


def train(
    home: Path,
    *,
    trips: Path | None = None,
    test_from: date | None = None,
    requests: Path | None = None,
    seed: int = 7,
    params: Mapping[str, Any] | None = None,
    without_champion: str | None = None,
    because: str = "somebody asked for it",
    progress: bool = False,
) -> dict[str, Any]:
    """Train both tiers and register a version, fitted on the trips that had ended before the test begins.

    Args:
        home: TANDEM_HOME.
        trips: a canonical trips file; what `tandem data` wrote where none is given.
        test_from: the first local day of the test; the last 15 % of the time span where none is given.
        requests: a file of requests; those that never became trips get a teacher's label and are learned from, too.
        seed: the same trips, code and seed give the same model, byte by byte.
        params: settings by dotted name, such as ``{"teacher.rounds": 100}``.
        without_champion: a reason to let a candidate through that can't be held against the champion; it is logged.
        because: why it is trained, for the log.
        progress: whether to draw a progress bar on stderr.

    Returns:
        The version, its alias and run, figures of every model on the test trips and of the candidates' cost, which of
        them serves what, parity, seconds taken.

    Raises:
        GatesFailed: a gate was not passed; the run is kept with its evidence, and nothing is registered.
        DataRefused: no trips to learn from, or none to test on.
        NotFound, InvalidInput, SchemaMismatch: of what is named.

    """
    layout, settings, watch = Layout(home), override(TrainingSettings(seed=seed), params or {}), _Stopwatch()
    if requests and not settings.distill.folds:
        raise InvalidInput("requests", "without distillation no teacher labels them")
    revision = git_revision()
    folds, students = settings.distill.folds, 2 * settings.student.rounds + 2 * settings.net.epochs
    taught = folds * settings.teacher.rounds + students if folds else 0
    steps = settings.teacher.rounds + settings.zones_only.rounds + students + taught
    with tqdm(total=steps, desc="features", unit=" steps", disable=not progress, file=sys.stderr) as bar:
        data = learning_data(layout, trips, test_from, settings, requests=requests)
        watch.lap("features")
        tiers = fit_tiers(data.learn, settings, background=data.background, stage=bar.set_description, tick=bar.update)
        watch.lap("fit")
        bar.set_description("parity")
        parity = measure_parity_of(tiers.for_one, tiers, data, settings)
        watch.lap("parity")
        bar.set_description("evaluate")
        estimates, test = tiers.estimate(data.test), data.test
        assessment = assess(test.duration_s, estimates, labels(test), test.context.day, baseline=BASELINE)
        watch.lap("evaluate")
        bar.set_description("gates")
        verdicts = judge_tiers(
            layout,
            data,
            tiers,
            estimates=estimates,
            parity=parity,
            settings=settings,
            without_champion=without_champion,
        )
        watch.lap("gates")
        bar.set_description("register")
        trained = Trained(settings, data, tiers, parity, assessment, verdicts, estimates["student"], revision, because)
        entry = register(layout, trained)
        watch.lap("register")
    return {
        **entry,
        "trips": {"learned": len(data.learn), "tested": len(data.test), "test_from": str(data.test_from)},
        "table": assessment.table,
        "range": assessment.ranges["student"],
        "candidates": table(tiers.figures),
        **({"distillation": distillation(tiers.distillation), "labels": tiers.labels} if tiers.distillation else {}),
        "serves": {ETA_FILE: tiers.for_one.name, MATRIX_FILE: tiers.for_many.name},
        "comparison": comparison(verdicts),
        "gates": {use: f"{len(results)} passed" for use, (_, results) in verdicts.items()},
        "parity": {"rows": parity.rows, "flips": parity.branch_flips, "max_abs_diff_s": parity.max_abs_diff_s},
        "onnx_bytes": len(tiers.for_one.graph),
        "seconds": watch.laps,
    }


class _Stopwatch:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 1)
        self._last = now
