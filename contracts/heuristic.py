"""The deterministic ETA: baseline offline, fallback online ("the legacy heuristics").

The median duration of the zone pair over the training trips; a pair never seen takes straight-line distance over
the city's speed in that hour. No model, no store: two tables that load with the artifact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.schema import Floats

HOURS = 24
# Within one zone the representative points coincide; a trip there is not of length zero.
MIN_DISTANCE_M = 800.0


def haversine_eta(distance_m: Floats, hour: npt.NDArray[np.intp], speed_mps: Floats) -> Floats:
    """Seconds for straight-line metres at the speed (m/s) of the local hour (0..23); the simplest baseline."""
    eta: Floats = np.maximum(distance_m, MIN_DISTANCE_M) / speed_mps[hour]
    return eta


@dataclass(frozen=True)
class PairMedian:
    """Median seconds by pair key, and straight-line speed [24] in m/s for pairs without one.

    `low_factor` and `high_factor` are the 10 % and 90 % quantiles of actual / estimate over the training trips.
    """

    median_s: Mapping[str, float]
    speed_mps: Floats
    low_factor: float
    high_factor: float

    def predict(self, pairs: Sequence[str], distance_m: Floats, hour: npt.NDArray[np.intp]) -> Floats:
        """Seconds [n] for pair keys, straight-line metres [n] and local hours [n]."""
        seen = np.fromiter((self.median_s.get(pair, np.nan) for pair in pairs), dtype=np.float64, count=len(pairs))
        missing = np.isnan(seen)
        if missing.any():
            seen[missing] = haversine_eta(distance_m[missing], hour[missing], self.speed_mps)
        return seen

    def interval(self, eta_s: Floats) -> tuple[Floats, Floats]:
        """The 80 % range around estimates, from the training residuals."""
        return eta_s * self.low_factor, eta_s * self.high_factor
