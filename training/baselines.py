"""What any model has to beat, fitted on the same trips: the deterministic ETAs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from contracts.heuristic import HOURS, MIN_DISTANCE_M, PairMedian
from contracts.schema import Floats
from training.student import range_factors

Hours = npt.NDArray[np.intp]


def speed_by_hour(distance_m: Floats, hour: Hours, duration_s: Floats) -> Floats:
    """All straight-line metres over all seconds, m/s [24] by local hour; an hour without a trip takes the day's."""
    metres = np.bincount(hour, weights=np.maximum(distance_m, MIN_DISTANCE_M), minlength=HOURS)
    seconds = np.bincount(hour, weights=duration_s, minlength=HOURS)
    whole_day = metres.sum() / seconds.sum()
    speed_mps: Floats = np.divide(metres, seconds, out=np.full(HOURS, whole_day), where=seconds > 0)
    return speed_mps


def fit_pair_median(pairs: Sequence[str], distance_m: Floats, hour: Hours, duration_s: Floats) -> PairMedian:
    """The median of each zone pair; a pair never seen goes by `speed_by_hour`."""
    medians = pd.Series(duration_s).groupby(np.asarray(pairs, dtype=object)).median()
    median_s = {str(pair): float(seconds) for pair, seconds in medians.items()}
    speed_mps = speed_by_hour(distance_m, hour, duration_s)
    estimate = PairMedian(median_s, speed_mps, 1.0, 1.0).predict(pairs, distance_m, hour)
    return PairMedian(median_s, speed_mps, *range_factors(duration_s, estimate))
