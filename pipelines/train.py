"""`tandem train`: trips in, a registered version out."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from tqdm import tqdm

from contracts.features import ETA_SCHEMA, OFFSET
from pipelines.layout import Layout
from pipelines.lineage import git_revision
from pipelines.register import Trained, register
from pipelines.vectors import labels, learning_data
from training.evaluate import assess
from training.parity import require_parity
from training.settings import TrainingSettings, override
from training.tiers import BASELINE, fit_tiers


def train(
    home: Path,
    *,
    trips: Path | None = None,
    test_from: date | None = None,
    seed: int = 7,
    params: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train both tiers and register a version, fitted on the trips that had ended before the test begins.

    Args:
        home: TANDEM_HOME.
        trips: a canonical trips file; what `tandem data` wrote where none is given.
        test_from: the first local day of the test; the last 15 % of the time span where none is given.
        seed: the same trips, code and seed give the same model, byte by byte.
        params: settings by dotted name, such as ``{"teacher.rounds": 100}``.
        progress: whether to draw a progress bar on stderr.

    Returns:
        The version, its alias and run, figures of every model on the test trips, parity, seconds taken.

    Raises:
        ParityFailed: the exported model is not the trained one; nothing is registered.
        DataRefused: no trips to learn from, or none to test on.
        NotFound, InvalidInput, SchemaMismatch: of what is named.

    """
    layout, settings, watch = Layout(home), override(TrainingSettings(seed=seed), params or {}), _Stopwatch()
    revision = git_revision()
    trees = settings.teacher.rounds + 2 * settings.student.rounds + settings.zones_only.rounds
    with tqdm(total=trees, desc="features", unit=" trees", disable=not progress, file=sys.stderr) as bar:
        data = learning_data(layout, trips, test_from, settings)
        watch.lap("features")
        offset = ETA_SCHEMA.names.index(OFFSET)
        tiers = fit_tiers(data.learn, settings, offset=offset, stage=bar.set_description, tick=bar.update)
        watch.lap("fit")
        bar.set_description("parity")
        booster, head = tiers.student.booster, tiers.student.head
        parity = require_parity(booster, head, tiers.served, data.learn.matrix, rows=settings.parity_rows, seed=seed)
        watch.lap("parity")
        bar.set_description("evaluate")
        estimates, test = tiers.estimate(data.test), data.test
        assessment = assess(test.duration_s, estimates, labels(test), test.context.day, baseline=BASELINE)
        watch.lap("evaluate")
        bar.set_description("register")
        entry = register(layout, Trained(settings, data, tiers, parity, assessment, estimates["student"], revision))
        watch.lap("register")
    return {
        **entry,
        "trips": {"learned": len(data.learn), "tested": len(data.test), "test_from": str(data.test_from)},
        "table": assessment.table,
        "range": assessment.ranges["student"],
        "parity": {"rows": parity.rows, "flips": parity.branch_flips, "max_abs_diff_s": parity.max_abs_diff_s},
        "onnx_bytes": len(tiers.graph),
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
