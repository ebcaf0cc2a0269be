"""What a simulated day was like for riders and drivers, in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from contracts.schema import Floats
from simulation.day import Log
from simulation.riders import Requests


def outcomes(requests: Requests, log: Log, counted: NDArray[np.bool_]) -> dict[str, float]:
    """Metrics over the counted requests [n]: seconds for `_s`, parts of one for `_rate` and `_share`."""
    requested, completed = int(counted.sum()), ~np.isnan(log.picked_up_s)
    assigned = counted & ~np.isnan(log.assigned_s)
    picked_up = counted & completed
    to_assignment = (log.assigned_s - requests.at_s)[assigned]
    pickup = (log.picked_up_s - log.assigned_s)[picked_up]
    return {
        "requests": float(requested),
        "to_assignment_mean_s": _mean(to_assignment),
        "to_assignment_p90_s": _p90(to_assignment),
        "pickup_mean_s": _mean(pickup),
        "pickup_p90_s": _p90(pickup),
        "wait_mean_s": _mean((log.picked_up_s - requests.at_s)[picked_up]),
        "quote_error_mean_s": _mean(np.abs(pickup - log.quoted_s[picked_up])),
        "match_rate": int(assigned.sum()) / requested,
        "completed_rate": int(picked_up.sum()) / requested,
        "cancelled_rate": int((counted & ~np.isnan(log.cancelled_s)).sum()) / requested,
        "idle_share": _mean(log.idle_shares),
        "idle_gini": gini(log.idle_shares),
    }


def wait_by_zone(requests: Requests, log: Log, zones: int) -> Floats:
    """Mean seconds [zones] from request to pickup, or to giving up, by the zone of the request; NaN where none was."""
    until = np.where(np.isnan(log.picked_up_s), log.cancelled_s, log.picked_up_s) - requests.at_s
    total = np.bincount(requests.pickup.zone, weights=until, minlength=zones)
    count = np.bincount(requests.pickup.zone, minlength=zones)
    waits: Floats = np.divide(total, count, out=np.full(zones, np.nan), where=count > 0)
    return waits


def compute(log: Log) -> dict[str, float]:
    """What matching took on this machine, as an assigned rider sees it (mean) and of all matchings (p99), in ms."""
    riders, matrix_s, solve_s = np.array(log.compute_s or [(0, 0.0, 0.0)]).T
    weight = riders / max(riders.sum(), 1)
    return {
        "matchings": float(len(log.compute_s)),
        "matrix_mean_ms": float(weight @ matrix_s) * 1e3,
        "solve_mean_ms": float(weight @ solve_s) * 1e3,
        "matching_p99_ms": float(np.quantile(matrix_s + solve_s, 0.99)) * 1e3,
    }


def gini(values: Floats) -> float:
    """Gini coefficient of values [n] that are not negative: 0 where all are equal, towards 1 where one has all."""
    if not len(values) or values.sum() <= 0:
        return 0.0
    ordered, n = np.sort(values), len(values)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of independent values [n >= 2] and the bounds of its 95 % interval (Student's t)."""
    sample = np.array(values)
    half = float(student_t.ppf(0.975, len(sample) - 1)) * sample.std(ddof=1) / np.sqrt(len(sample))
    mean = float(sample.mean())
    return mean, mean - half, mean + half


def change(ours: Sequence[Mapping[str, float]], base: Sequence[Mapping[str, float]], metric: str) -> dict[str, float]:
    """Mean change of a metric against the base in per cent of the base, over seeds [n] that share their luck."""
    reference = float(np.mean([day[metric] for day in base]))
    if reference == 0.0:
        return {"percent": np.nan, "low": np.nan, "high": np.nan}
    mean, low, high = with_interval([a[metric] - b[metric] for a, b in zip(ours, base, strict=True)])
    return {"percent": 100 * mean / reference, "low": 100 * low / reference, "high": 100 * high / reference}


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else np.nan


def _p90(values: Floats) -> float:
    return float(np.quantile(values, 0.9)) if len(values) else np.nan
