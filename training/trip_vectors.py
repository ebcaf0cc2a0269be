"""Trips as the models take them: what their requests tell, their vectors, their durations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.schema import Floats, Matrix
from contracts.zones import Zones
from training.context import TripContext


@dataclass(frozen=True)
class TripVectors:
    """Trips [n] in the order of time: what their requests tell, their vectors float32 [n, F], their durations."""

    zones: Zones
    context: TripContext
    matrix: Matrix
    duration_s: Floats

    def __len__(self) -> int:
        return len(self.duration_s)

    def rows(self, which: npt.NDArray[np.bool_]) -> TripVectors:
        """Some of the trips."""
        return TripVectors(self.zones, self.context.rows(which), self.matrix[which], self.duration_s[which])
