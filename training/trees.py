"""Trees over the vector, whatever their size: what teacher, student and the plainest of the baselines share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import lightgbm as lgb
import numpy as np

from contracts.schema import Floats, Matrix
from training.settings import TreeSettings

Tick = Callable[[], Any]

# Below, LightGBM's threads spend their time waiting for one another. The model is the same with any number of them.
_ROWS_WORTH_THREADS: Final = 20_000


@dataclass(frozen=True)
class Examples:
    """Rows to learn from: vectors float32 [n, F] and durations in seconds [n]."""

    matrix: Matrix
    duration_s: Floats

    def __len__(self) -> int:
        return len(self.duration_s)

    def rows(self, which: slice) -> Examples:
        """Some of the rows."""
        return Examples(self.matrix[which], self.duration_s[which])


def log_target(examples: Examples, offset: int | None) -> Floats:
    """What the trees learn: log seconds, less entry `offset` of the vector where the model is relative to it."""
    log_s: Floats = np.log(examples.duration_s)
    return log_s if offset is None else log_s - examples.matrix[:, offset].astype(np.float64)


def fit_trees(
    examples: Examples, settings: TreeSettings, *, offset: int | None, seed: int, tick: Tick = lambda: None
) -> lgb.Booster:
    """Fit an ensemble; `tick` is called after every tree."""
    parameters = settings.parameters(seed)
    if len(examples) < _ROWS_WORTH_THREADS:
        parameters["num_threads"] = 1
    data = lgb.Dataset(examples.matrix, log_target(examples, offset), params=parameters)
    return lgb.train(parameters, data, settings.rounds, callbacks=[lambda _: tick()])
