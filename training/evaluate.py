"""How good estimates are: pure figures over arrays, the same for a training run and for any file of trips.

Durations and errors are in seconds; an error is estimate - actual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.schema import Floats

QUANTILES: Final = {"low_s": 0.1, "eta_s": 0.5, "high_s": 0.9}
DISTANCE_EDGES_KM: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
WEEKEND: Final = 5  # Monday is 0
RESAMPLES: Final = 1000

Labels = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Estimates:
    """Seconds [n], with an 80 % range where the model gives one."""

    eta_s: Floats
    low_s: Floats | None = None
    high_s: Floats | None = None

    def rows(self, which: npt.NDArray[np.bool_]) -> Estimates:
        """Some of the rows."""
        low_s, high_s = (None if side is None else side[which] for side in (self.low_s, self.high_s))
        return Estimates(self.eta_s[which], low_s, high_s)


def score(actual_s: Floats, eta_s: Floats) -> dict[str, float]:
    """Figures of point estimates [n]: MAE, median and 90 % quantile of the absolute error, MAPE, bias, RMSE."""
    error = eta_s - actual_s
    absolute = np.abs(error)
    return {
        "mae_s": float(absolute.mean()),
        "median_ae_s": float(np.median(absolute)),
        "p90_ae_s": float(np.quantile(absolute, 0.9)),
        "mape": float((absolute / actual_s).mean()),
        "bias_s": float(error.mean()),
        "rmse_s": float(np.sqrt((error**2).mean())),
    }


def quantile_loss(actual_s: Floats, estimate_s: Floats, quantile: float) -> float:
    """Mean pinball loss in seconds of estimates [n] of a quantile (0..1)."""
    below = actual_s - estimate_s
    return float(np.maximum(quantile * below, (quantile - 1.0) * below).mean())


def score_range(actual_s: Floats, estimates: Estimates) -> dict[str, float]:
    """Quantile losses and the share of trips within the range; nothing for a model without one."""
    if estimates.low_s is None or estimates.high_s is None:
        return {}
    losses = {
        f"quantile_loss_{quantile:g}_s": quantile_loss(actual_s, getattr(estimates, name), quantile)
        for name, quantile in QUANTILES.items()
    }
    inside = (actual_s >= estimates.low_s) & (actual_s <= estimates.high_s)
    return {**losses, "coverage": float(inside.mean()), "range_s": float((estimates.high_s - estimates.low_s).mean())}


def mae_interval(actual_s: Floats, eta_s: Floats, day: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Give the 95 % interval of the MAE by resampling whole days [n], since a day's trips share its traffic.

    The same errors give the same interval.
    """
    total, trips = _over_days(day, np.abs(eta_s - actual_s), np.ones(len(day)))
    low, high = np.quantile(total / trips, (0.025, 0.975))
    return float(low), float(high)


def mae_change_interval(
    actual_s: Floats, eta_s: Floats, reference_s: Floats, day: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Give the 95 % interval of MAE / reference's MAE - 1 by resampling whole days [n], both models on the same."""
    ours, theirs = _over_days(day, np.abs(eta_s - actual_s), np.abs(reference_s - actual_s))
    low, high = np.quantile(ours / np.maximum(theirs, 1e-12) - 1.0, (0.025, 0.975))
    return float(low), float(high)


def _over_days(day: npt.NDArray[np.int64], *values: Floats) -> list[Floats]:
    """Sums of each of the values [n] over resampled days [RESAMPLES], the same days for all."""
    _, position = np.unique(day, return_inverse=True)
    sums = [np.bincount(position, weights=value) for value in values]
    picks = np.random.default_rng(0).integers(len(sums[0]), size=(RESAMPLES, len(sums[0])))
    return [total[picks].sum(axis=1) for total in sums]


def slices(borough: Sequence[str], hour: npt.NDArray[Any], weekday: npt.NDArray[Any], km: Floats) -> dict[str, Labels]:
    """Label trips [n] by pickup borough, local hour, straight-line distance band and part of the week."""
    edges = ["0", *(f"{edge:g}" for edge in DISTANCE_EDGES_KM)]
    bands = [f"{low}-{high} km" for low, high in pairwise(edges)] + [f"over {edges[-1]} km"]
    return {
        "borough": np.array(borough, dtype=object),
        "hour": np.array([f"{h:02d}" for h in hour], dtype=object),
        "distance": np.array(bands, dtype=object)[np.digitize(km, DISTANCE_EDGES_KM)],
        "week": np.where(np.asarray(weekday) >= WEEKEND, "weekend", "weekday").astype(object),
    }


@dataclass(frozen=True)
class Assessment:
    """Models by name on the same trips: point figures, figures of the range where there is one, figures by slice."""

    table: dict[str, dict[str, float]]
    ranges: dict[str, dict[str, float]]
    slices: dict[str, dict[str, dict[str, dict[str, float]]]]

    def flat(self) -> dict[str, float]:
        """Figures over all trips under names such as ``student.mae_s``."""
        rows = [*self.table.items(), *self.ranges.items()]
        return {f"{model}.{figure}": value for model, figures in rows for figure, value in figures.items()}


def assess(
    actual_s: Floats,
    models: Mapping[str, Estimates],
    labels: Mapping[str, Labels],
    day: npt.NDArray[np.int64],
    *,
    baseline: str,
) -> Assessment:
    """Judge models on the same trips [n], labelled by slice and day.

    `below_baseline` is the share of the baseline's MAE that a model saves; `mae_low_s`..`mae_high_s` holds the MAE
    with 95 %.
    """
    table: dict[str, dict[str, float]] = {}
    for name, estimates in models.items():
        low, high = mae_interval(actual_s, estimates.eta_s, day)
        table[name] = {**score(actual_s, estimates.eta_s), "mae_low_s": low, "mae_high_s": high}
    for figures in table.values():
        figures["below_baseline"] = 1.0 - figures["mae_s"] / table[baseline]["mae_s"]
    ranges = {name: score_range(actual_s, estimates) for name, estimates in models.items()}
    return Assessment(
        table=table,
        ranges={name: figures for name, figures in ranges.items() if figures},
        slices={name: score_slices(actual_s, estimates, labels) for name, estimates in models.items()},
    )


def score_slices(
    actual_s: Floats, estimates: Estimates, labels: Mapping[str, Labels]
) -> dict[str, dict[str, dict[str, float]]]:
    """Trips, MAE, bias, MAPE (and coverage) by slice and label, labels in order."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, label in labels.items():
        table[name] = {}
        for value in sorted(set(label), key=_by_number):
            which = label == value
            part = estimates.rows(which)
            figures = score(actual_s[which], part.eta_s) | score_range(actual_s[which], part)
            chosen = ("mae_s", "bias_s", "mape", "coverage")
            row = {"trips": float(which.sum()), **{key: figures[key] for key in chosen if key in figures}}
            table[name][str(value)] = row
    return table


def _by_number(label: str) -> tuple[int, float, str]:
    head = label.partition("-")[0]
    return (0, float(head), label) if head.isdecimal() else (1, 0.0, label)
