"""What a trip that ended adds to its windows; history and the stream take it from here, so that they agree."""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.heuristic import MIN_DISTANCE_M
from contracts.local_time import Ints
from contracts.schema import Floats
from feature_repo.windows import to_micro

# One trip that stood in a car park for two hours says little of its pair: no log-ratio counts for more than this.
MAX_LOG_RATIO: Final = 2.0


def log_ratios(duration_s: Floats, reference_log_s: Floats) -> Floats:
    """ln(duration / reference) [n]."""
    ratios: Floats = np.clip(np.log(duration_s) - reference_log_s, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    return ratios


def window_values(log_ratio: Floats, distance_m: Floats, duration_s: Floats) -> Ints:
    """What is summed [n, 2], in millionths: the log-ratio and the speed in km/h."""
    speed_kmh = np.maximum(distance_m, MIN_DISTANCE_M) / duration_s * 3.6
    return np.stack([to_micro(log_ratio), to_micro(speed_kmh)], axis=1)
