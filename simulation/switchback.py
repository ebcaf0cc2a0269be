"""Experiments on dispatch: which arm a rider meets, and which riders count.

Riders share drivers, so an arm that takes the better ones harms the other: a split by rider compares two policies in a
world that neither would make. A switchback gives all riders of a region one arm for a while instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.schema import Floats
from contracts.zones import Positions


@dataclass(frozen=True)
class Switchback:
    """Units of `period_s` in each region; the first `burn_in_s` of each still feel the arm before and do not count."""

    period_s: float
    burn_in_s: float
    start_s: float

    def units(self, at_s: Floats, region: Positions) -> Positions:
        """The unit [n] of requests at seconds since midnight [n] in regions [n]; a number for each unit."""
        period = np.floor((at_s - self.start_s) / self.period_s).astype(np.intp)
        units: Positions = period * (int(region.max(initial=0)) + 1) + region
        return units

    def arms(self, units: Positions, rng: np.random.Generator) -> Positions:
        """Arms 0 and 1 [n]: of the units, in a random order, one half each."""
        present, unit = np.unique(units, return_inverse=True)
        arm = np.arange(len(present)) % 2
        rng.shuffle(arm)
        arms: Positions = arm[unit]
        return arms

    def counted(self, at_s: Floats) -> NDArray[np.bool_]:
        """Which requests [n] come after the burn-in of their unit."""
        counted: NDArray[np.bool_] = (at_s - self.start_s) % self.period_s >= self.burn_in_s
        return counted


def user_split(riders: int, rng: np.random.Generator) -> Positions:
    """Arms 0 and 1 [n], by a coin for every rider."""
    return rng.integers(0, 2, riders).astype(np.intp)


def bands(lat: Floats, regions: int) -> Positions:
    """Regions 0..regions-1 [n] from south to north, with about as many of the points [n] in each."""
    edges = np.quantile(lat, np.arange(1, regions) / regions)
    return np.searchsorted(edges, lat, side="right").astype(np.intp)
