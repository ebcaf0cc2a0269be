"""How much a model errs before any label is in: a small model of its absolute error, learned where labels are known.

This is direct loss estimation. It sees what moves in the features (harder trips, absent values, longer estimates) and
is blind where the same features begin to mean another duration: only labels show that, and they score the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy import stats

from contracts.schema import Floats, Matrix

_ROUNDS: Final = 80
_MIN_DAYS: Final = 4
_PARAMETERS: Final[dict[str, Any]] = {
    "objective": "regression",  # the mean is wanted, not the median
    "num_leaves": 15,
    "learning_rate": 0.06,
    "min_data_in_leaf": 100,
    "lambda_l2": 20.0,
    "feature_fraction": 0.6,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}

Days = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """An expected MAE in seconds with its 95 % interval."""

    mae_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True)
class Score:
    """What labels said of an estimate: the real MAE, by what share the estimate is over it, whether it was inside."""

    mae_s: float
    off: float
    inside: bool


@dataclass(frozen=True)
class LossModel:
    """Fitted on the reference, crosswise: each of its days was estimated by a model that had not seen it."""

    boosters: tuple[lgb.Booster, lgb.Booster]
    mae_s: float  # on the reference, from its labels
    spread_s: float  # standard deviation of a day's real less estimated MAE there

    def estimate(self, matrix: Matrix, eta_s: Floats, day: Days) -> Estimate:
        """The MAE to be expected on rows [n, F] with the model's answers to them.

        The interval is that of the estimate's misses on the reference's days, for as many days as these.
        """
        rows = _inputs(matrix, eta_s)
        expected = float(np.mean([booster.predict(rows).mean() for booster in self.boosters]))
        reach = self.spread_s * stats.norm.isf(0.025) / np.sqrt(len(np.unique(day)))
        return Estimate(expected, max(expected - reach, 0.0), expected + reach)


def fit_loss(matrix: Matrix, eta_s: Floats, actual_s: Floats, day: Days, *, seed: int = 0) -> LossModel | None:
    """Learn a model's absolute error from rows [n, F], its answers and the truth; None of fewer than four days.

    The reference has to be trips that the model has not learned from, or its errors there flatter.
    """
    distinct, position = np.unique(day, return_inverse=True)
    if len(distinct) < _MIN_DAYS:
        return None
    rows, error = _inputs(matrix, eta_s), np.abs(eta_s - actual_s)
    even = position % 2 == 0
    boosters = tuple(_fit(rows[half], error[half], seed) for half in (even, ~even))
    expected = np.where(even, boosters[1].predict(rows), boosters[0].predict(rows))
    trips = np.bincount(position)
    missed = np.bincount(position, weights=error - expected) / trips
    return LossModel((boosters[0], boosters[1]), float(error.mean()), float(missed.std(ddof=1)))


def score_estimate(estimate: Estimate, eta_s: Floats, actual_s: Floats) -> Score:
    """Hold an estimate against labels [n] that came later."""
    mae_s = float(np.abs(eta_s - actual_s).mean())
    return Score(mae_s, estimate.mae_s / max(mae_s, 1e-9) - 1.0, estimate.low_s <= mae_s <= estimate.high_s)


def _inputs(matrix: Matrix, eta_s: Floats) -> Matrix:
    return np.column_stack([matrix, eta_s]).astype(np.float32)


def _fit(rows: Matrix, error: Floats, seed: int) -> lgb.Booster:
    parameters = {**_PARAMETERS, "seed": seed}
    return lgb.train(parameters, lgb.Dataset(rows, error, params=parameters), _ROUNDS)
