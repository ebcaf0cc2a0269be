"""What any model has to beat, fitted on the same trips: the deterministic ETAs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from contracts.heuristic import HOURS, MIN_DISTANCE_M, PairMedian, haversine_eta
from contracts.schema import Floats
from training.student import range_factors

Hours = npt.NDArray[np.intp]


@dataclass(frozen=True)
class HaversineSpeed:
    """Straight-line metres over the speed of the local hour, m/s [24]."""

    speed_mps: Floats

    def predict(self, distance_m: Floats, hour: Hours) -> Floats:
        """Seconds [n] for straight-line metres [n] and local hours [n] (0..23)."""
        return haversine_eta(distance_m, hour, self.speed_mps)


def fit_haversine_speed(distance_m: Floats, hour: Hours, duration_s: Floats) -> HaversineSpeed:
    """All metres over all seconds, hour by hour; an hour without a trip takes the day's."""
    metres = np.bincount(hour, weights=np.maximum(distance_m, MIN_DISTANCE_M), minlength=HOURS)
    seconds = np.bincount(hour, weights=duration_s, minlength=HOURS)
    whole_day = metres.sum() / seconds.sum()
    return HaversineSpeed(np.divide(metres, seconds, out=np.full(HOURS, whole_day), where=seconds > 0))


def fit_pair_median(pairs: Sequence[str], distance_m: Floats, hour: Hours, duration_s: Floats) -> PairMedian:
    """The median of each zone pair; a pair never seen goes by `fit_haversine_speed`."""
    medians = pd.Series(duration_s).groupby(np.asarray(pairs, dtype=object)).median()
    median_s = {str(pair): float(seconds) for pair, seconds in medians.items()}
    speed_mps = fit_haversine_speed(distance_m, hour, duration_s).speed_mps
    estimate = PairMedian(median_s, speed_mps, 1.0, 1.0).predict(pairs, distance_m, hour)
    return PairMedian(median_s, speed_mps, *range_factors(duration_s, estimate))
